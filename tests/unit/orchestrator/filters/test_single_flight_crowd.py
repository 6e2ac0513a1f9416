"""A crowd that waits for one answer is served in order, and holds up nobody else."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.errors import AllProvidersFailed
from orchestrator.filters.single_flight import SingleFlightFilter
from orchestrator.model import Response, SearchRequest
from tests.support.calls import changed, make_call
from tests.support.clock import LoopClock

ANSWER = Response(fragment=b'"results":[]', result_count=0, provider="tavily")

CROWD = 1_000

TURN_COUNT_MAX = 40
"""Answers in one turn that hold up nobody for long: each takes up to half a millisecond."""


def call():
    """A call for the key that everybody wants."""
    return changed(make_call(SearchRequest(query="tides"), clock=LoopClock()), cache_key="k1")


class Service:
    """Takes a second, then ends with this."""

    def __init__(self, outcome=ANSWER):
        self.outcome = outcome

    async def __call__(self, call):
        """Take the time."""
        await asyncio.sleep(1.0)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class Crowd:
    """Calls at once; in which turn of the event loop after the first of them each was answered, in order."""

    def __init__(self, service):
        self.flight = SingleFlightFilter()
        self.service = service
        self.turn = 0
        self.answered = []

    async def gather(self):
        """Everybody comes, then waits."""
        self.tasks = [asyncio.create_task(self.one(number)) for number in range(CROWD)]
        await asyncio.sleep(0.5)

    async def one(self, number):
        """One of them."""
        try:
            await self.flight(call(), self.service)
        except AllProvidersFailed:
            pass
        finally:
            self.answered.append((number, self.turn))

    async def until_all_are_gone(self):
        """Count the turns of the event loop from the first answer to the last."""
        await asyncio.sleep(0.5)
        while not all(task.done() for task in self.tasks):
            self.turn += 1
            await asyncio.sleep(0)


@pytest.mark.parametrize("outcome", [ANSWER, AllProvidersFailed("Down.", attempts=())])
async def test_a_few_are_answered_in_each_turn(outcome):
    """Between any two turns of the event loop only so many go on; they do in the order they came."""
    crowd = Crowd(Service(outcome))
    await crowd.gather()

    await crowd.until_all_are_gone()

    numbers = [number for number, _ in crowd.answered if number != 0]  # 0 is the leader
    turns = [turn for _, turn in crowd.answered]
    assert numbers == list(range(1, CROWD))
    assert max(map(turns.count, set(turns))) <= TURN_COUNT_MAX


async def test_who_left_is_passed_over():
    """Those who gave up before the landing hold up nobody and get nothing."""
    crowd = Crowd(Service())
    await crowd.gather()
    for task in crowd.tasks[1:-1]:
        task.cancel()

    await crowd.until_all_are_gone()

    assert crowd.tasks[-1].exception() is None
    assert len(crowd.flight) == 0


async def test_who_joins_in_the_last_moment_is_answered():
    """A call that finds a flight whose answer is there, and that has not been taken away yet, has it too."""
    flight, service = SingleFlightFilter(), Service()
    joining = []

    async def lead(inner):
        response = await service(inner)
        joining.append(asyncio.create_task(flight(call(), service)))
        return response

    await flight(call(), lead)
    answers = await asyncio.wait_for(asyncio.gather(*joining), 5.0)

    assert [answer.cache for answer in answers] == ["collapsed"]
