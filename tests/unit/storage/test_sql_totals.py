"""Totals: all of history, exactly, from the live generation, as of one moment, and how far it is counted."""

from __future__ import annotations

from sqlalchemy import insert, select, update

from orchestrator.reports.metrics import NEEDS
from orchestrator.reports.totals import Standing
from storage.sql_engine import open_engine, sqlite_url, transaction
from storage.sql_event_log import SqlEventLog
from storage.sql_projector import SqlProjector
from storage.sql_reports import SqlReports
from storage.sql_tables import checkpoints, parked, projection_state, rollups
from tests.support.histories import NOON, hit, miss, mixture
from tests.support.reported import sums_of
from tests.support.rows import row, rows


async def history(engine):
    """All events of the log."""
    stored = await SqlEventLog(engine).read(0, 1_000)
    return [envelope for _, frame in stored for envelope in frame.events]


async def recorded(engine, *histories):
    """Append and count these."""
    await SqlEventLog(engine).append(rows(histories))
    await SqlProjector(engine).project()


async def test_totals_equal_a_fold_by_hand(engine):
    """Each sum over all history is what adding up every event gives."""
    await recorded(engine, *mixture())

    found = await SqlReports(engine).totals(NEEDS)

    events = await history(engine)
    for need, sums in zip(NEEDS, found.sums, strict=True):
        assert sums == sums_of(need, events)
        assert sums


async def test_standing_says_what_is_counted(engine):
    """Before counting the oldest frame waits; after it none does, and the positions are equal."""
    reports = SqlReports(engine)
    await SqlEventLog(engine).append(rows(mixture()))
    before = await reports.standing()
    await SqlProjector(engine).project()
    after = await reports.standing()

    assert (before.counted_position, before.waiting_since) == (0, NOON + 40.0)
    assert before.lag_s(NOON + 100.0) == 60.0
    assert (after.counted_position, after.waiting_since) == (after.position, None)
    assert before.position == after.position > 0
    assert (await reports.totals(())).standing == after


async def test_the_slowest_rollup_decides(engine):
    """One that has not counted a frame makes the figures late, whatever the others have."""
    await recorded(engine, *mixture())
    async with transaction(engine) as connection:
        await connection.execute(
            update(checkpoints).where(checkpoints.c.projection == "ledger").values(position=1)
        )

    assert (await SqlReports(engine).standing()).counted_position == 1


async def test_parked_frames_of_the_live_generation_are_told(engine):
    """Those that an earlier count could not take are no longer there."""
    async with transaction(engine) as connection:
        for generation, position in ((1, 5), (1, 6), (7, 5)):
            await connection.execute(
                insert(parked).values(generation=generation, position=position, reason="unreadable", events=0)
            )

    assert (await SqlReports(engine).standing()).parked == 2


async def test_another_generation_takes_over_without_a_jump(engine):
    """Figures of a recount that equals the old one are the same before and after the swap."""
    await recorded(engine, *mixture())
    reports = SqlReports(engine)
    before = await reports.totals(NEEDS)

    async with transaction(engine) as connection:
        for table in (*(table for _, table in rollups), checkpoints):
            names = [column for column in table.columns if column.name != "generation"]
            copied = select(*names).where(table.c.generation == 1)
            for found in (await connection.execute(copied)).mappings().all():
                await connection.execute(insert(table).values(generation=2, **found))
        await connection.execute(update(projection_state).values(generation=2))
        for table in (*(table for _, table in rollups), checkpoints):
            await connection.execute(table.delete().where(table.c.generation == 1))

    assert await reports.totals(NEEDS) == before


async def test_all_sums_are_of_one_moment(engine, database_url):
    """What is counted while totals are read is in none of their sums."""
    await recorded(engine, *mixture())
    reader = open_engine(database_url)
    try:
        async with transaction(reader) as connection:
            table = next(table for rollup, table in rollups if rollup.name == "hit_rate")
            query = select(table).order_by(*table.primary_key)
            before = (await connection.execute(query)).all()
            await SqlEventLog(engine).append([row(50, hit()), row(51, miss())])
            await SqlProjector(engine).project()
            assert (await connection.execute(query)).all() == before
    finally:
        await reader.dispose()


async def test_totals_of_a_log_that_does_not_exist_are_empty(tmp_path):
    """On a fresh folder nothing is counted and nothing waits, and looking makes no database."""
    path = tmp_path / "amos.db"
    engine = open_engine(sqlite_url(path))
    reports = SqlReports(engine)

    found = await reports.totals(NEEDS)

    assert found.sums == [{} for _ in NEEDS]
    assert found.standing == await reports.standing() == Standing()
    assert not path.exists()
    await engine.dispose()
