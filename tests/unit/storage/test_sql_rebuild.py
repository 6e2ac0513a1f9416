"""A recount: what was tampered with is found and named, what is right stays, and a replay repairs."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import delete, insert, select, text, update

from orchestrator.errors import EventLogUnavailable
from storage import sql_generations, sql_rebuild
from storage.sql_comparison import Difference
from storage.sql_engine import transaction
from storage.sql_event_log import SqlEventLog
from storage.sql_projector import Projected, SqlProjector, live_generation
from storage.sql_rebuild import Parked, Verdict, replay, verify
from storage.sql_series import Hole
from storage.sql_tables import FIRST, checkpoints, frames, rollups
from storage.sql_upkeep import UpkeepBusy, upkeep
from tests.support.histories import answered, hit, mixture
from tests.support.rows import row, rows


def untold(phase: str, done: int, total: int) -> None:
    """Nobody listens."""


@pytest.fixture
async def recorded(engine):
    """An engine of a database with a few of everything, counted."""
    await SqlEventLog(engine).append(rows(mixture()))
    await SqlProjector(engine).project()
    return engine


async def run(engine, statement):
    """One statement by somebody else."""
    async with transaction(engine) as connection:
        return await connection.execute(statement)


async def generations(engine):
    """The generations of which a row is left, by table."""
    found = {}
    async with transaction(engine) as connection:
        for _, table in rollups:
            found[table.name] = set((await connection.execute(select(table.c.generation))).scalars())
    return found


async def live_rows(engine):
    """Every row that reports read, by table."""
    async with transaction(engine) as connection:
        live = await live_generation(connection)
        return {
            table.name: (await connection.execute(select(table).where(table.c.generation == live))).all()
            for _, table in rollups
        }


async def test_what_is_right_is_found_right(recorded, database_url):
    """Untouched figures equal their frames, and the recount leaves nothing behind."""
    verdict = await verify(database_url, untold)

    assert verdict.is_sound
    assert (verdict.frames, verdict.position, verdict.is_replaced) == (6, 6, False)
    assert verdict.rows > 50
    assert set.union(*(await generations(recorded)).values()) == {FIRST}


async def first_day(connection, table):
    """One row of a table's days, and the condition for it."""
    row_ = (await connection.execute(select(table).where(table.c.span_s == 86_400).limit(1))).mappings().one()
    return row_, [column == row_[column.name] for column in table.primary_key]


@pytest.mark.parametrize("range_rows", [1, 10_000])
async def test_a_changed_count_is_named(recorded, database_url, range_rows, monkeypatch):
    """One more in one row of each table is found, named with what it should be, and repaired by a replay."""
    monkeypatch.setattr(sql_generations, "RANGE_ROWS", range_rows)
    changed = []
    async with transaction(recorded) as connection:
        for rollup, table in rollups:
            row_, there = await first_day(connection, table)
            measure = table.c[rollup.measures[0]]
            await connection.execute(update(table).where(*there).values({measure.name: measure + 1}))
            right = {name: row_[name] for name in rollup.measures}
            wrong = right | {measure.name: row_[measure.name] + 1}
            names = {name: row_[name] for name in rollup.dimensions}
            changed.append(Difference(table.name, 86_400, row_["start"], names, wrong, right))

    found = await verify(database_url, untold)
    replaced = await replay(database_url, untold)
    after = await verify(database_url, untold)

    assert found.differing == changed
    assert (found.differences, found.is_sound) == (len(rollups), False)
    assert (replaced.differences, replaced.is_replaced) == (len(rollups), True)
    assert after.is_sound


async def test_a_row_too_few_or_too_many_is_named(recorded, database_url):
    """A row that was deleted is missing on one side, one that was invented on the other."""
    async with transaction(recorded) as connection:
        for _, table in rollups:
            row_, there = await first_day(connection, table)
            await connection.execute(delete(table).where(*there))
            await connection.execute(insert(table).values(dict(row_) | {"start": row_["start"] + 7 * 86_400}))

    found = await verify(database_url, untold)

    lost = [one for one in found.differing if one.live is None]
    invented = [one for one in found.differing if one.recounted is None]
    assert (
        [one.table for one in lost] == [one.table for one in invented] == [table.name for _, table in rollups]
    )
    assert [one.start + 7 * 86_400 for one in lost] == [one.start for one in invented]
    assert found.differences == 2 * len(rollups)


async def test_frames_that_are_missing_are_named(recorded, database_url):
    """A frame that was deleted is a hole in its series, and its counts are a difference."""
    await run(recorded, delete(frames).where(frames.c.position == 3))

    found = await verify(database_url, untold)

    assert (found.missing_frames, found.holes) == (1, [Hole("i-1", 3, 3)])
    assert found.differences
    assert not found.is_sound


async def test_what_is_left_of_a_missing_frame_is_not_replaced(recorded, database_url):
    """A replay that would take away the counts of a missing frame does so only when told."""
    await run(recorded, delete(frames).where(frames.c.position == 3))
    before = await live_rows(recorded)

    assert not (await replay(database_url, untold)).is_replaced
    assert await live_rows(recorded) == before
    assert (await replay(database_url, untold, despite_holes=True)).is_replaced
    assert await live_rows(recorded) != before


async def test_what_is_left_of_a_frame_that_was_spoiled_is_not_replaced(recorded, database_url):
    """A row that was counted and cannot be read any more is as good as missing."""
    await run(recorded, update(frames).where(frames.c.position == 3).values(events="[{"))
    before = await live_rows(recorded)

    refused = await replay(database_url, untold)

    assert (refused.spoiled_frames, refused.is_sound, refused.is_replaced) == (1, False, False)
    assert await live_rows(recorded) == before
    assert (await replay(database_url, untold, despite_holes=True)).is_replaced
    assert (await verify(database_url, untold)).is_sound


async def test_what_cannot_be_counted_is_no_difference(recorded, database_url):
    """A parked frame is in no figure, neither a live one nor a recounted: it is shown, and all is equal."""
    await SqlEventLog(recorded).append([row(7, (answered(results=2**63),)), row(8, hit())])
    await SqlProjector(recorded).project()

    found = await verify(database_url, untold)

    assert found.is_sound
    assert found.parked == [Parked(7, "uncountable", 1)]


async def test_frames_nobody_has_counted_yet_are_left_to_the_projector(recorded, database_url):
    """The comparison is of what both have counted; a replay loses none of the rest."""
    await SqlEventLog(recorded).append([row(7, hit()), row(8, hit())])

    found = await verify(database_url, untold)
    await replay(database_url, untold)

    assert (found.frames, found.is_sound) == (6, True)
    assert (await SqlProjector(recorded).project()).frames == 2
    assert (await verify(database_url, untold)).frames == 8


async def test_a_rollup_that_catches_up_is_brought_there(engine, database_url):
    """A rollup of a new version that has not counted all of the log yet is no difference."""
    await SqlEventLog(engine).append(rows(mixture()))
    await SqlProjector(engine, rollups[:3]).project()

    found = await verify(database_url, untold)

    assert (found.position, found.is_sound) == (6, True)
    assert await SqlProjector(engine).project() == Projected(is_done=True)


async def test_an_empty_log_is_sound(engine, database_url):
    """Nothing is equal to nothing, and replaying nothing is no fault."""
    assert await verify(database_url, untold) == Verdict()
    assert (await replay(database_url, untold)).is_replaced


async def test_two_at_once_are_refused(recorded, database_url):
    """While one is at work the second says so; afterwards it may."""
    async with upkeep(database_url):
        with pytest.raises(UpkeepBusy):
            await verify(database_url, untold)

    assert (await verify(database_url, untold)).is_sound


async def test_the_schema_of_another_version_is_left_alone(recorded, database_url):
    """A later version may have rollups that a replay or a prune of this one would take away."""
    await run(recorded, text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(EventLogUnavailable, match="schema of another version"):
        await replay(database_url, untold)


async def test_other_checkpoints_go_along(recorded, database_url):
    """A swap loses no checkpoint that somebody else keeps with the live generation."""
    await run(recorded, insert(checkpoints).values(projection="mail", generation=FIRST, position=4))

    await replay(database_url, untold)

    async with transaction(recorded) as connection:
        live = await live_generation(connection)
        kept = select(checkpoints.c.generation, checkpoints.c.position).where(
            checkpoints.c.projection == "mail"
        )
        assert (await connection.execute(kept)).all() == [(live, 4)]
        assert live != FIRST


@pytest.mark.parametrize("steps", [1, 3, 6, 9])
async def test_a_run_that_is_interrupted_changes_nothing(recorded, database_url, steps, monkeypatch):
    """Interrupted after any step the figures in use are as they were, and the next run begins anew."""
    monkeypatch.setattr(sql_rebuild, "BATCH_FRAMES", 1)
    before = await live_rows(recorded)
    left = steps

    def interrupt(phase: str, done: int, total: int) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        await replay(database_url, interrupt)

    assert await live_rows(recorded) == before
    assert (await verify(database_url, untold)).is_sound
    assert set.union(*(await generations(recorded)).values()) == {FIRST}


async def test_reports_and_recorders_go_on_meanwhile(recorded, database_url):
    """Frames recorded and counted while a replay is under way are in the new figures, each once."""
    log, projector, number = SqlEventLog(recorded), SqlProjector(recorded), 0
    done = asyncio.Event()

    async def record():
        nonlocal number
        while not done.is_set():
            number += 1
            await log.append([row(number, hit(), instance="busy")._replace(stream=f"b-{number}")])
            await projector.project()
            await asyncio.sleep(0.01)

    recording = asyncio.create_task(record())
    for _ in range(3):
        assert (await replay(database_url, untold)).differences == 0
    done.set()
    await recording

    found = await verify(database_url, untold)
    assert number > 10
    assert (found.is_sound, found.frames) == (True, 6 + number)
