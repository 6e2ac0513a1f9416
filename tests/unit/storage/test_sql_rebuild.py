"""A recount: what was tampered with is found and named, what is right stays, and a replay repairs."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, insert, select, update

from storage import sql_generations
from storage.sql_comparison import Difference
from storage.sql_engine import transaction
from storage.sql_event_log import SqlEventLog
from storage.sql_projector import SqlProjector
from storage.sql_rebuild import replay, verify
from storage.sql_tables import FIRST, rollups
from tests.support.histories import mixture
from tests.support.rows import rows


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
