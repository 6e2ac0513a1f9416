"""The live list: one look for all its pages, for nobody into what is not theirs, whatever the clocks say."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from api.console.live import SHARED_S, Newest
from orchestrator.errors import EventLogUnavailable
from orchestrator.executions import ExecutionQuery, FoundExecutions

if TYPE_CHECKING:
    import httpx

    from tests.support.memory_gateway import MemoryGateway


class SlowReports:
    """Answers when it is told to; `asked` has whose calls were asked for, each time."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []
        self.may_answer = asyncio.Event()
        self.is_away = False

    async def executions(self, query: ExecutionQuery) -> FoundExecutions:
        """Nothing, after some time; what is found is told apart by its `searched_since`."""
        self.asked.append(query.client)
        await self.may_answer.wait()
        if self.is_away:
            raise EventLogUnavailable("away")
        return FoundExecutions(searched_since=float(len(self.asked)))


@pytest.fixture
def reports() -> SlowReports:
    """A record that takes its time."""
    return SlowReports()


@pytest.fixture
def newest(reports: SlowReports) -> Newest:
    """What all pages share."""
    return Newest(reports)  # type: ignore[arg-type] - it has the one method that is asked


async def test_two_hundred_pages_ask_once_for_each_client(newest: Newest, reports: SlowReports):
    """All who may see the same get one look, and whoever sees only their own gets one of their own."""
    pages = [asyncio.create_task(newest.of(whose)) for whose in (None, "acme") * 100]
    await asyncio.sleep(0)
    reports.may_answer.set()
    await asyncio.gather(*pages)

    assert sorted(reports.asked, key=str) == [None, "acme"]


async def test_what_was_found_is_soon_looked_for_anew(newest: Newest, reports: SlowReports):
    """Within half a second it answers others too, and after that nobody."""
    reports.may_answer.set()
    first, second = await newest.of(None), await newest.of(None)
    await asyncio.sleep(SHARED_S)
    third = await newest.of(None)

    assert (second is first, third is first, len(reports.asked)) == (True, False, 2)


async def test_who_leaves_takes_nothing_from_the_others(newest: Newest, reports: SlowReports):
    """The page that asked first may be closed before the answer is there; then another one looks for all."""
    leader, *followers = [asyncio.create_task(newest.of(None)) for _ in range(3)]
    await asyncio.sleep(0)
    leader.cancel()
    await asyncio.sleep(0)
    reports.may_answer.set()

    assert [found.searched_since for found in await asyncio.gather(*followers)] == [2.0, 2.0]
    assert leader.cancelled()


async def test_nothing_is_left_when_all_have_left(newest: Newest, reports: SlowReports):
    """A look ends with those who wait for it, so that none outlives the application."""
    before = asyncio.all_tasks()
    pages = [asyncio.create_task(newest.of(None)) for _ in range(3)]
    await asyncio.sleep(0)
    for page in pages:
        page.cancel()
    await asyncio.gather(*pages, return_exceptions=True)

    assert asyncio.all_tasks() == before
    assert reports.asked == [None]


async def test_a_failure_is_told_to_all_who_waited_and_kept_from_nobody_later(
    newest: Newest, reports: SlowReports
):
    """A record that is away is asked again, and its return is seen."""
    reports.is_away = True
    pages = [asyncio.create_task(newest.of(None)) for _ in range(3)]
    await asyncio.sleep(0)
    reports.may_answer.set()
    told = await asyncio.gather(*pages, return_exceptions=True)
    reports.is_away = False
    await asyncio.sleep(SHARED_S)

    assert [type(one) for one in told] == [EventLogUnavailable] * 3
    assert (await newest.of(None)).searched_since == 2.0


async def test_what_a_clock_that_is_ahead_has_dated_is_shown(
    client: httpx.AsyncClient, memory: MemoryGateway
):
    """An execution of a moment to come is one of now, at an instance whose clock is fast."""
    await client.get("/?q=tides")
    frames = memory.journal.frames
    frames[:] = [msgspec.structs.replace(one, recorded_at=one.recorded_at + 3.0) for one in frames]

    assert frames[-1].stream in (await client.get("/console/live")).text
