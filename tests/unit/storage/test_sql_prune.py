"""Pruning: old frames go, and no figure of any report changes, now or after any recount."""

from __future__ import annotations

import asyncio
import random

import pytest
from sqlalchemy import func, select

from orchestrator.facts import ProviderRegistered
from orchestrator.reports.catalogue import REPORTS
from orchestrator.reports.report import Question
from storage import sql_prune
from storage.sql_engine import transaction
from storage.sql_event_log import SqlEventLog
from storage.sql_facts import SqlFacts
from storage.sql_projector import SqlProjector
from storage.sql_prune import Pruned, prune, survey
from storage.sql_rebuild import replay, verify
from storage.sql_reports import SqlReports
from storage.sql_tables import frames, queries
from tests.support.histories import NOON, answered, hit, mixture
from tests.support.rows import row, text_of
from tests.support.seeds import SEEDS

DAY_S = 86_400.0


def untold(*_: object) -> None:
    """Nobody listens."""


async def record(engine, count, first=1, apart_s=600.0):
    """Executions of all kinds, each ten minutes after the one before, counted."""
    kinds = mixture()
    batch = [
        row(number, kinds[number % len(kinds)], at=NOON + number * apart_s)
        for number in range(first, first + count)
    ]
    await SqlEventLog(engine).append(batch)
    await SqlProjector(engine).project()


async def figures(engine):
    """What all reports say, over everything and in groups."""
    reports = SqlReports(engine)
    question = {"since": NOON, "until": NOON + DAY_S}
    return {
        (report.name, by): await reports.report(report.name, Question(by=by, **question))
        for report in REPORTS.values()
        for by in ("", *report.by[:1])
    }


async def left(engine):
    """How many frames there are."""
    async with transaction(engine) as connection:
        return (await connection.execute(select(func.count()).select_from(frames))).scalar()


@pytest.mark.parametrize("batch", [7, 1_000])
async def test_every_figure_stays(engine, database_url, batch, monkeypatch):
    """Old frames are gone; reports, recounts and replays say the same to the digit."""
    monkeypatch.setattr(sql_prune, "BATCH_FRAMES", batch)
    await record(engine, 40)
    before = await figures(engine)

    assert await survey(database_url, NOON + 20.5 * 600) == (20, pytest.approx(700 * 20, rel=0.5))
    assert await prune(database_url, NOON + 20.5 * 600, untold) == Pruned(20, 0)

    assert await left(engine) == 20
    assert await figures(engine) == before
    assert (await verify(database_url, untold)).is_sound
    await replay(database_url, untold)
    assert await figures(engine) == before
    assert (await verify(database_url, untold)).is_sound


async def test_pruning_twice_is_pruning_once(engine, database_url):
    """There is nothing left to prune; a later moment goes on where the first ended."""
    await record(engine, 40)
    before = await figures(engine)
    await prune(database_url, NOON + 10.5 * 600, untold)

    assert await prune(database_url, NOON + 10.5 * 600, untold) == Pruned(0, 0)
    assert await prune(database_url, NOON + 30.5 * 600, untold) == Pruned(20, 0)
    assert await figures(engine) == before
    assert (await verify(database_url, untold)).is_sound


async def test_what_is_not_counted_stays(engine, database_url):
    """Frames no rollup has reached, and those with something nobody can count, are not pruned."""
    await record(engine, 10)
    await SqlEventLog(engine).append([row(11, (answered(results=2**63),), at=NOON)])
    await SqlEventLog(engine).append([row(12, hit(), at=NOON)._replace(events="[1]")])
    later = row(13, hit(), at=NOON)
    await SqlEventLog(engine).append(
        [later._replace(events=later.events.replace("completed.v1", "completed.v9"))]
    )
    await SqlProjector(engine).project()
    await SqlEventLog(engine).append([row(14, hit(), at=NOON)])

    assert await prune(database_url, NOON + DAY_S, untold) == Pruned(10, 4)

    assert await left(engine) == 4
    assert (await verify(database_url, untold)).is_sound
    await SqlProjector(engine).project()
    assert await prune(database_url, NOON + DAY_S, untold) == Pruned(1, 3)


async def test_what_was_said_of_providers_stays(engine, database_url):
    """Their list is told by the log alone, from the first word on; reports say the same as ever."""
    said = ProviderRegistered(provider="wiki", kind="searxng", priority=50, by="boss")
    await SqlEventLog(engine).append([row(1, (said,), stream="providers", at=NOON)])
    await record(engine, 10, first=2)
    before = await figures(engine)

    assert (await survey(database_url, NOON + DAY_S)).frames == 10
    assert await prune(database_url, NOON + DAY_S, untold) == Pruned(10, 0)

    (frame,) = (await SqlFacts(engine, "providers").read(0)).frames
    assert frame.events[0].event == said
    assert await figures(engine) == before
    assert (await verify(database_url, untold)).is_sound


async def test_a_pruned_frame_that_comes_again_is_not_counted_again(engine, database_url):
    """A machine that was off since it stored them still has them; its late frames between them are new."""
    batch = [row(number, hit(), at=NOON + number) for number in range(1, 11)]
    late = batch.pop(2)
    await SqlEventLog(engine).append(batch, [text_of(1, "k", "erased meanwhile")])
    await SqlProjector(engine).project()
    await prune(database_url, NOON + 5.5, untold)
    async with transaction(engine) as connection:
        await connection.execute(queries.delete())

    await SqlEventLog(engine).append([*batch[:2], late, *batch[2:]], [text_of(1, "k", "erased meanwhile")])

    assert (await SqlProjector(engine).project()).frames == 1
    assert await left(engine) == 6
    async with transaction(engine) as connection:
        assert (await connection.execute(select(func.count()).select_from(queries))).scalar() == 0
    assert (await verify(database_url, untold)).is_sound


async def test_an_append_waits_for_the_prune_of_its_frames(engine, database_url, monkeypatch):
    """A recorder that stores a batch again at that moment sees its frames, or that they were pruned."""
    batch = [row(number, hit(), at=NOON + number) for number in range(1, 11)]
    await SqlEventLog(engine).append(batch)
    await SqlProjector(engine).project()
    appends: list[asyncio.Task[None]] = []

    delete = sql_prune._delete

    async def append_before_the_commit(*arguments):
        await delete(*arguments)
        appends.append(asyncio.create_task(SqlEventLog(engine).append(batch)))
        await asyncio.sleep(0.3)

    monkeypatch.setattr(sql_prune, "_delete", append_before_the_commit)
    await prune(database_url, NOON + 5.5, untold)
    await asyncio.gather(*appends)

    assert len(appends) == 1
    assert await left(engine) == 5


async def test_an_execution_on_the_border_keeps_its_later_frames(engine, database_url):
    """Frames go by the moment they were recorded, so an execution may lose its first ones only."""
    await SqlEventLog(engine).append(
        [
            row(1, mixture()[2][:4], at=NOON)._replace(stream="e-1"),
            row(2, mixture()[2][4:], at=NOON + 60)._replace(stream="e-1"),
        ]
    )
    await SqlProjector(engine).project()

    await prune(database_url, NOON + 30, untold)

    assert [frame.instance_seq for frame in await SqlReports(engine).execution("e-1")] == [2]
    assert (await verify(database_url, untold)).is_sound


async def test_a_series_whose_clock_went_back_has_no_hole(engine, database_url):
    """Frames that seem older than those before them are pruned first; verify takes none for missing."""
    moments = [5, 6, 1, 2, 7, 8]
    batch = [row(number, hit(), at=NOON + at * 600) for number, at in enumerate(moments, 1)]
    await SqlEventLog(engine).append(batch)
    await SqlProjector(engine).project()

    assert await prune(database_url, NOON + 3 * 600, untold) == Pruned(2, 0)
    assert (await verify(database_url, untold)).is_sound


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_prune_that_is_interrupted_loses_no_count(engine, database_url, seed, monkeypatch):
    """Interrupted after any step what was deleted is counted; the next prune does the rest."""
    monkeypatch.setattr(sql_prune, "BATCH_FRAMES", 3)
    await record(engine, 40)
    before = await figures(engine)
    left_steps = random.Random(seed).randrange(1, 11)

    def interrupt(*_: object) -> None:
        nonlocal left_steps
        left_steps -= 1
        if not left_steps:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        await prune(database_url, NOON + 35.5 * 600, interrupt)

    assert (await verify(database_url, untold)).is_sound
    await prune(database_url, NOON + 35.5 * 600, untold)
    assert await left(engine) == 5
    assert await figures(engine) == before
    assert (await verify(database_url, untold)).is_sound
