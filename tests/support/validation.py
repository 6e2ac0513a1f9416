"""The stage that judges results, on an answer of the test's own."""

from __future__ import annotations

from orchestrator.events import FREE
from orchestrator.filters.validate_result import ValidateResultFilter
from orchestrator.model import Found, SearchAnswer, SearchRequest
from orchestrator.ports import WEB_SCHEMES
from tests.support.calls import make_call


async def judged(request, answer, schemes=WEB_SCHEMES, cost=FREE):
    """What the stage makes of an answer, and the call."""
    call = make_call(request)

    async def service(_call):
        return Found(answer=answer, provider="tavily", cost=cost)

    found = await ValidateResultFilter(schemes)(call, service)
    return found.answer, call


def answer_of(*results):
    """An answer with these results."""
    return SearchAnswer(results=results, answer=None, images=())


def search(**fields):
    """A search with these fields."""
    return SearchRequest(**{"query": "tides", **fields})
