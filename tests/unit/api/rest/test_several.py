"""Several searches at once: each for itself, all in one trace, and none left behind."""

from __future__ import annotations

import asyncio

import pytest

from api.rest.several import search_all
from orchestrator.errors import InvalidRequest
from orchestrator.gateway import Gateway
from orchestrator.model import Call, Caller, Response, SearchRequest

QUERIES = tuple(SearchRequest(query=name) for name in ("tides", "ebb", "flood"))
OPERATOR = Caller(door="http", is_local_operator=True)
TRACE = "0af7651916cd43dd8448eb211c80319c"


async def test_they_are_in_the_caller_s_trace_or_one_of_their_own(memory):
    """Whoever looks at one finds the others."""
    own = await search_all(memory.gateway, QUERIES, OPERATOR)
    given = await search_all(
        memory.gateway, QUERIES, Caller(door="http", is_local_operator=True, trace_id=TRACE)
    )

    assert {call.trail.trace_id for call in own.calls} == {own.outcomes[0].execution_id.replace("-", "")}
    assert {call.trail.trace_id for call in given.calls} == {TRACE}
    assert len({outcome.execution_id for outcome in (*own.outcomes, *given.outcomes)}) == 6


async def test_what_fails_is_told_and_what_does_not_is_given(memory):
    """The best is the first that was answered; if none was, the failure is that of the first."""
    memory.provider.failure = InvalidRequest("No.")
    none = await search_all(memory.gateway, QUERIES[:2], OPERATOR)
    memory.provider.failure = None
    await search_all(memory.gateway, QUERIES[1:2], OPERATOR)
    memory.provider.failure = InvalidRequest("No.")
    one = await search_all(memory.gateway, QUERIES[:2], OPERATOR)

    assert none.best is None
    assert none.failure is none.outcomes[0].error
    assert one.best is not None
    assert one.best[0] is one.calls[1]


async def test_a_caller_who_leaves_cancels_all(memory, monkeypatch: pytest.MonkeyPatch):
    """No search goes on for nobody."""
    ended: list[str] = []

    async def slow(_gateway: Gateway, call: Call[SearchRequest]) -> Response:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(call.request.query)
        raise AssertionError("it is cancelled")

    monkeypatch.setattr(Gateway, "search", slow)
    asked = asyncio.create_task(search_all(memory.gateway, QUERIES, OPERATOR))
    await asyncio.sleep(0.01)
    asked.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asked
    assert sorted(ended) == ["ebb", "flood", "tides"]


async def test_a_bug_is_not_taken_for_a_failure(memory, monkeypatch: pytest.MonkeyPatch):
    """What nobody expected ends the call, and the other searches with it."""

    async def broken(_gateway: Gateway, _call: Call[SearchRequest]) -> Response:
        raise ZeroDivisionError

    monkeypatch.setattr(Gateway, "search", broken)

    with pytest.raises(ExceptionGroup):
        await search_all(memory.gateway, QUERIES, OPERATOR)
