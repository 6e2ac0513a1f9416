"""A process works on a bounded number of calls, and divides the room fairly."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from orchestrator.errors import Overloaded
from orchestrator.filters.concurrency import SHARE, ConcurrencyFilter, ConcurrencyPolicy
from orchestrator.model import SearchRequest
from orchestrator.principals import Principal
from tests.support.calls import changed, make_call


class Room:
    """The filter, and calls that stay in it until they are let go."""

    def __init__(self, calls_max: int) -> None:
        self.filter = ConcurrencyFilter(ConcurrencyPolicy(calls_max=calls_max))
        self.inside: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._may_go = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def stay(self, call):
        """Inner stages that wait."""
        client = call.principal.counted_as
        self.inside[client] += 1
        try:
            await self._may_go.wait()
        finally:
            self.inside[client] -= 1

    async def enter(self, client: str, count: int = 1, address: str = "") -> None:
        """So many calls of the client knock, one after the other."""
        for _ in range(count):
            principal = Principal(client=client, address=address)
            call = changed(make_call(SearchRequest(query="tides")), principal=principal)
            task = asyncio.create_task(self._one(call))
            self._tasks.append(task)
            await asyncio.sleep(0)

    async def _one(self, call) -> None:
        try:
            await self.filter(call, self.stay)
        except Overloaded:
            self.refused[call.principal.counted_as] += 1

    async def empty(self, *, cancelling: bool = False) -> None:
        """All leave."""
        if cancelling:
            for task in self._tasks:
                task.cancel()
        self._may_go.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._may_go.clear()


async def test_one_client_never_takes_the_last_place():
    """A client alone may have nearly all of the room, and whoever comes then still finds some."""
    room = Room(90)

    await room.enter("greedy", 200)
    await room.enter("modest", 3)

    assert room.inside == {"greedy": 80, "modest": 3}
    assert room.refused == {"greedy": 120}
    await room.empty()


async def test_greedy_clients_end_up_with_the_same_share():
    """Clients that ask for all they can get, in turn, get the same."""
    room = Room(170)

    for _ in range(200):
        await room.enter("one")
        await room.enter("other")

    assert room.inside == {"one": 80, "other": 80}
    await room.enter("third", 5)
    assert room.inside["third"] == 5
    await room.empty()


async def test_the_early_one_has_to_give_way():
    """What a greedy client held before others came, it does not get again while they are there."""
    room = Room(90)
    await room.enter("early", 200)
    await room.enter("late", 10)
    await room.enter("early", 10)

    assert room.inside == {"early": 80, "late": 9}
    assert room.refused == {"early": 130, "late": 1}
    await room.empty()


async def test_never_more_than_the_bound():
    """However many clients come, no more calls than the bound are under way."""
    room = Room(20)

    for number in range(100):
        await room.enter(f"client {number}", 3)

    assert room.inside.total() <= 20
    assert room.inside.total() >= 20 - 20 // SHARE
    await room.empty()


@pytest.mark.parametrize("cancelling", [False, True])
async def test_whoever_leaves_makes_room(cancelling):
    """A call that ends, in whatever way, takes no place any more."""
    room = Room(9)

    for _ in range(5):
        await room.enter("acme", 8)
        assert room.inside == {"acme": 8}
        await room.empty(cancelling=cancelling)

    assert not room.refused


async def test_the_smallest_room_has_one_place():
    """A bound of one works on one call at a time."""
    room = Room(1)

    await room.enter("acme", 2)

    assert (room.inside["acme"], room.refused["acme"]) == (1, 1)
    await room.empty()


async def test_anonymous_callers_are_told_apart_by_address():
    """Whoever has no name competes for room as the address it comes from."""
    room = Room(90)

    await room.enter("anonymous", 200, address="203.0.113.7")
    await room.enter("anonymous", 3, address="203.0.113.8")

    assert room.inside == {"anonymous\x00203.0.113.7": 80, "anonymous\x00203.0.113.8": 3}
    await room.empty()
