"""The projector: every frame counts once, whatever interrupts, and rollups equal a fold of the log."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, select, text

from orchestrator.errors import EventLogUnavailable
from orchestrator.events import Cost, UnknownEvent
from storage import sql_projector
from storage.sql_engine import transaction
from storage.sql_event_log import SqlEventLog
from storage.sql_projector import Projected, SqlProjector, frames_behind
from storage.sql_tables import FIRST, checkpoints, parked, rollups
from tests.support.histories import answered, hit, miss, mixture
from tests.support.reported import rows_by_span
from tests.support.rows import row, rows

REFUSING = {
    "sqlite": "CREATE TRIGGER refuse BEFORE INSERT ON checkpoints WHEN new.projection = 'latency' "
    "BEGIN SELECT raise(ABORT, 'no'); END",
    "postgresql": "ALTER TABLE checkpoints ADD CONSTRAINT refuse CHECK (projection <> 'latency')",
}
"""Makes a database that does not take the last checkpoint of a batch."""

AGREEING = {
    "sqlite": "DROP TRIGGER refuse",
    "postgresql": "ALTER TABLE checkpoints DROP CONSTRAINT refuse",
}
"""Undoes it."""


async def counts(engine, rollup, table):
    """The rows of a rollup, as the fold has them."""
    async with transaction(engine) as connection:
        found = (await connection.execute(select(table))).all()
    size = 3 + len(rollup.dimensions)
    return {tuple(line[1:size]): tuple(line[size:]) for line in found}


async def folded(engine, rollup):
    """The same from the raw frames, without projector and SQL arithmetic."""
    stored = await SqlEventLog(engine).read(0, 10_000)
    return rows_by_span(rollup, (envelope for _, frame in stored for envelope in frame.events))


async def project_all(projector):
    """Until nothing is left."""
    while not (await projector.project()).is_done:
        pass


@pytest.mark.parametrize("batch", [1, 2, 1000])
async def test_rollups_equal_a_fold_of_the_log(engine, monkeypatch, batch):
    """However the log is cut into batches, every table holds what folding the frames by hand gives."""
    monkeypatch.setattr(sql_projector, "BATCH_FRAMES", batch)
    log, projector = SqlEventLog(engine), SqlProjector(engine)

    await log.append(rows(mixture()))
    await project_all(projector)
    await log.append([row(number + 100, events) for number, events in enumerate(mixture())])
    await project_all(projector)

    for rollup, table in rollups:
        found = await counts(engine, rollup, table)
        assert found
        assert found == await folded(engine, rollup)


async def test_a_fault_before_the_commit_counts_nothing(engine, kind):
    """If the checkpoint cannot be moved the counts of the batch are undone with it, and come once later."""
    log, projector = SqlEventLog(engine), SqlProjector(engine)
    await log.append(rows(mixture()))
    async with transaction(engine) as connection:
        await connection.execute(text(REFUSING[kind]))

    with pytest.raises(EventLogUnavailable):
        await projector.project()
    for rollup, table in rollups:
        assert await counts(engine, rollup, table) == {}

    async with transaction(engine) as connection:
        await connection.execute(text(AGREEING[kind]))
    await project_all(projector)
    for rollup, table in rollups:
        assert await counts(engine, rollup, table) == await folded(engine, rollup)


async def test_a_new_projection_catches_up_alone(engine):
    """A rollup that begins later folds the whole log; those that were up to date count nothing twice."""
    log = SqlEventLog(engine)
    await log.append(rows(mixture()))
    await project_all(SqlProjector(engine, rollups[:1]))

    await project_all(SqlProjector(engine))

    for rollup, table in rollups:
        assert await counts(engine, rollup, table) == await folded(engine, rollup)


async def test_what_one_rollup_cannot_count_counts_nowhere_later_either(engine):
    """A rollup that catches up alone passes over the same events as when all are counted together."""
    long = answered(client="odd", duration_s=1e9)  # too long for sums of durations, and still one answer
    await SqlEventLog(engine).append([row(1, (long,)), row(2, hit())])
    await project_all(SqlProjector(engine))
    rollup, table = rollups[0]
    together = await counts(engine, rollup, table)
    async with transaction(engine) as connection:
        await connection.execute(delete(table))
        await connection.execute(delete(checkpoints).where(checkpoints.c.projection == rollup.name))

    await project_all(SqlProjector(engine))

    assert together
    assert await counts(engine, rollup, table) == together


async def test_two_projectors_count_once(engine):
    """Projectors that take turns share the checkpoint: no frame counts twice."""
    await SqlEventLog(engine).append(rows(mixture()))
    first, second = SqlProjector(engine), SqlProjector(engine)

    await first.project()
    assert (await second.project()).frames == 0

    for rollup, table in rollups:
        assert await counts(engine, rollup, table) == await folded(engine, rollup)


async def test_an_empty_log_has_nothing_to_fold(engine):
    """Without frames there is no work and no checkpoint."""
    assert await SqlProjector(engine).project() == Projected(is_done=True)


@pytest.mark.parametrize(
    "absurd",
    [
        answered(duration_s=1e300),
        answered(saved=Cost(usd_micros=10**30)),
        answered(results=2**63),
        answered(results=-(2**63)),
    ],
)
async def test_an_absurd_number_is_passed_over(engine, absurd):
    """An event that no table can count stops nothing: it is told, and everything behind it is counted."""
    log, projector = SqlEventLog(engine), SqlProjector(engine)
    await log.append([row(1, (absurd,)), row(2, miss())])

    assert await projector.project() == Projected(2, parked=1, is_done=True)

    for rollup, table in rollups:
        assert sum(value[0] for value in (await counts(engine, rollup, table)).values()) >= 1
    assert await frames_behind(engine) == 0


async def test_a_row_that_is_no_frame_is_passed_over(engine):
    """A row somebody has damaged is told as one event that cannot be folded."""
    log, projector = SqlEventLog(engine), SqlProjector(engine)
    await log.append([row(1, hit())._replace(events="[1, 2]"), row(2, hit())])

    assert await projector.project() == Projected(2, parked=1, is_done=True)
    assert await projector.project() == Projected(is_done=True)
    async with transaction(engine) as connection:
        assert (await connection.execute(select(parked))).all() == [(FIRST, 1, "unreadable", 0)]


async def test_an_event_of_an_unknown_type_is_counted_as_such(engine):
    """What a newer version has recorded is told once, whatever number of rollups pass it over."""
    log, projector = SqlEventLog(engine), SqlProjector(engine)
    await log.append([row(1, (*hit(), UnknownEvent("amos.tea.made.v1"))), row(2, hit())])

    assert await projector.project() == Projected(2, unknown=1, is_done=True)
    assert await projector.project() == Projected(is_done=True)


async def test_a_rollup_says_how_far_it_is_behind(engine):
    """Frames no rollup has seen are behind; none are when all is folded."""
    assert await frames_behind(engine) == 0

    await SqlEventLog(engine).append(rows(mixture()))

    assert await frames_behind(engine) == len(mixture())
    await project_all(SqlProjector(engine))
    assert await frames_behind(engine) == 0
