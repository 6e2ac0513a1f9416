"""Filters nest around a service in the order in which they are listed."""

from __future__ import annotations

import pytest

from orchestrator.model import SearchRequest
from orchestrator.service import stack
from tests.support.calls import make_call

CALL = make_call(SearchRequest(query="tides"))


def noting(name, notes):
    """A stage that notes when it is passed."""

    async def stage(call, service):
        notes.append(f"{name} in")
        answer = await service(call)
        notes.append(f"{name} out")
        return answer

    return stage


async def echo(call):
    """A service that answers with the query."""
    return call.request.query


async def test_the_first_filter_is_the_outermost():
    """A call passes the filters in order on the way in, and in reverse on the way out."""
    notes = []
    service = stack(noting("a", notes), noting("b", notes), service=echo)

    answer = await service(CALL)

    assert answer == "tides"
    assert notes == ["a in", "b in", "b out", "a out"]


async def test_without_filters_the_service_itself_answers():
    """A stack of nothing is the service."""
    assert await stack(service=echo)(CALL) == "tides"


async def test_a_filter_may_answer_itself():
    """A stage that does not ask further keeps the call from everything further in."""
    notes = []

    async def answering(call, service):
        return "mine"

    answer = await stack(answering, noting("b", notes), service=echo)(CALL)

    assert answer == "mine"
    assert notes == []


async def test_a_filter_may_ask_several_times():
    """A stage may ask the inner service as often as it sees fit."""

    async def twice(call, service):
        return await service(call) + await service(call)

    assert await stack(twice, service=echo)(CALL) == "tidestides"


async def test_an_error_passes_outward():
    """What the service raises reaches the outermost caller unless a stage takes it."""

    async def failing(call):
        raise ValueError(call.request.query)

    with pytest.raises(ValueError, match="tides"):
        await stack(noting("a", []), service=failing)(CALL)
