"""A circuit without a pipeline: its provider, what it records, and calls that end as they are told."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.errors import ProviderUnavailable
from orchestrator.facts import CircuitOpened
from orchestrator.model import SearchRequest
from tests.support.calls import make_call

CALL = make_call(SearchRequest(query="tides"))


class Facts:
    """A FactSink that keeps what it is given."""

    def __init__(self):
        self.events = []

    def record_fact(self, stream, event):
        """Keep the fact."""
        assert stream == "circuit:tavily"
        self.events.append(event)

    def count_refusal(self, reason):
        """Never called here."""
        raise AssertionError(reason)


class Upstream:
    """A provider that can be switched between answers, be slow, and held back by a gate."""

    def __init__(self, clock):
        self.takes_s = 0.0
        self._clock = clock
        self.outcome = "answer"
        self.calls = 0
        self.gate = None

    async def __call__(self, call):
        """End as switched at the moment of the call."""
        self.calls += 1
        self._clock.advance(self.takes_s)
        outcome, gate = self.outcome, self.gate
        if gate is not None:
            await gate.wait()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def error(kind=ProviderUnavailable, retry_after_s=None, why="http_503"):
    """A failure of the provider."""
    return kind("It failed.", provider="tavily", reason=why, retry_after_s=retry_after_s)


async def fail(breaker, upstream, failure, times=1):
    """Let that many calls fail."""
    for _ in range(times):
        upstream.outcome = failure
        with pytest.raises(type(failure)):
            await breaker(CALL, upstream)


async def answer(breaker, upstream, times=1):
    """Let that many calls be answered."""
    upstream.outcome = "answer"
    for _ in range(times):
        assert await breaker(CALL, upstream) == "answer"


async def begin(breaker, upstream):
    """Begin a call that the upstream holds back until its gate opens."""
    upstream.gate = asyncio.Event()
    task = asyncio.ensure_future(breaker(CALL, upstream))
    await asyncio.sleep(0)
    gate, upstream.gate = upstream.gate, None
    return task, gate


def opened(facts):
    """What was recorded of openings: which in a row, and for how long."""
    return [(e.openings, e.cooldown_s) for e in facts.events if isinstance(e, CircuitOpened)]
