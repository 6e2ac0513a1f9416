"""Second calls among failures, empty answers, cancellations: nothing is lost or counted twice, all ends."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from orchestrator.errors import ProviderTimeout
from orchestrator.events import AttemptFailed, AttemptHedged, AttemptStarted, AttemptSucceeded
from orchestrator.filters.circuit_breaker import CircuitPolicy
from orchestrator.model import SearchRequest
from tests.support.core import both, down
from tests.support.hedged import after, hedging, known, of


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_the_books_are_right(seed):
    """Every attempt has one end before the last word of its search, and hedges stay within their part."""
    chance = random.Random(seed)

    def any_end():
        line = chance.choice([3, 3, 3, 0, down(), ProviderTimeout("Late.", provider="any", reason="timeout")])
        return after(chance.expovariate(1.0), line)

    tavily, jina = both(tavily=[any_end() for _ in range(500)], jina=[any_end() for _ in range(500)])
    policies = hedging(ratio=0.3, circuit=CircuitPolicy(failures_max=10**6))
    core = await known(tavily, jina, policies=policies)
    before = jina.calls
    searches = [core.open(SearchRequest(query=f"question {n}")) for n in range(300)]
    for at in range(0, 300, 30):
        crowd = [asyncio.create_task(core.gateway.search(call)) for call in searches[at : at + 30]]
        await asyncio.sleep(chance.random())
        for task in chance.sample(crowd, 5):
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
    await core.settle()

    begun, hedged = Counter[str](), 0
    for call in searches:
        events = core.events(call)
        starts = [(e.provider, e.number) for e in events if isinstance(e, AttemptStarted)]
        ends = [(e.provider, e.number) for e in events if isinstance(e, AttemptSucceeded | AttemptFailed)]
        assert sorted(starts) == sorted(ends)
        begun.update(provider for provider, _ in starts)
        hedged += len(of(core, call, AttemptHedged))
    assert (begun["tavily"], begun["jina"]) == (tavily.calls, jina.calls - before)
    assert 10 < hedged <= 0.3 * 320
    assert (core.pipeline.rooms["tavily"].calls, core.pipeline.rooms["jina"].calls) == (0, 0)
    assert len(asyncio.all_tasks()) == 1, "nobody is left behind"
