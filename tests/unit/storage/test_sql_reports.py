"""Reports: they say exactly what the events say, over whole minutes of the window."""

from __future__ import annotations

import pytest

from orchestrator.errors import InvalidRequest
from storage.sql_engine import open_engine, sqlite_url
from storage.sql_event_log import SqlEventLog
from storage.sql_projector import SqlProjector
from storage.sql_reports import HIT_RATE_BY, LATENCY_BY, SqlReports
from storage.sql_tables import health, hit_rate, latency
from tests.support.histories import NOON, hit, miss, mixture
from tests.support.rows import row, rows

HOUR = 3_600


@pytest.fixture
async def reports(engine):
    """Reports over a few of everything, one execution every forty seconds."""
    await SqlEventLog(engine).append(rows(mixture()))
    await SqlProjector(engine).project()
    return SqlReports(engine)


async def by_hand(engine, rollup, since=NOON, until=NOON + HOUR):
    """The counts of a window from the raw frames."""
    stored = await SqlEventLog(engine).read(0, 1_000)
    counts = rollup.total(envelope for _, frame in stored for envelope in frame.events)
    return {key: value for key, value in counts.items() if since <= key[0] < until}


async def test_health_equals_a_fold_by_hand(reports, engine):
    """The health report is the report of the counts folded from the raw frames."""
    found = await reports.health(NOON, NOON + HOUR)

    assert found == {"since": NOON, "until": NOON + HOUR} | health.report(await by_hand(engine, health))


@pytest.mark.parametrize("by", ["", *HIT_RATE_BY])
async def test_hit_rate_equals_a_fold_by_hand(reports, engine, by):
    """So is the hit rate, however it is grouped."""
    found = await reports.hit_rate(NOON, NOON + HOUR, by)

    assert found == {"since": NOON, "until": NOON + HOUR} | hit_rate.report(
        await by_hand(engine, hit_rate), by
    )


@pytest.mark.parametrize("by", ["", *LATENCY_BY])
async def test_latency_equals_a_fold_by_hand(reports, engine, by):
    """So is latency, however it is grouped."""
    found = await reports.latency(NOON, NOON + HOUR, by)

    assert found == {"since": NOON, "until": NOON + HOUR} | latency.report(await by_hand(engine, latency), by)


async def test_a_window_is_widened_to_whole_minutes(reports, engine):
    """A report says which whole minutes it covers, and covers them exactly."""
    found = await reports.hit_rate(NOON + 90.5, NOON + 119.0)

    assert (found["since"], found["until"]) == (NOON + 60, NOON + 120)
    counts = await by_hand(engine, hit_rate, NOON + 60, NOON + 120)
    assert found["answered"] == sum(value[0] for value in counts.values()) > 0


async def test_an_empty_window_has_no_ratios(reports):
    """Where nothing was asked nothing is 0 % or 100 %: ratios and quantiles are unknown."""
    window = (NOON - HOUR, NOON - 60)

    assert (await reports.health(*window))["availability"] is None
    assert (await reports.hit_rate(*window))["hit_ratio"] is None
    assert (await reports.latency(*window, "provider"))["rows"] == []


@pytest.mark.parametrize("by", ["weather", "bucket", "minute; DROP TABLE frames"])
async def test_an_unknown_grouping_is_the_callers_fault(reports, by):
    """What cannot be grouped by is refused with what can."""
    with pytest.raises(InvalidRequest, match="by: expected one of") as refusal:
        await reports.hit_rate(NOON, NOON + HOUR, by)
    assert refusal.value.field == "by"

    with pytest.raises(InvalidRequest):
        await reports.latency(NOON, NOON + HOUR, by)


async def test_an_execution_is_read_from_the_log(reports):
    """An execution is its frames; one that is not there has none."""
    (frame,) = await reports.execution("e-3")

    assert [envelope.event for envelope in frame.events] == list(mixture()[2])
    assert await reports.execution("e-99") == []


async def test_a_growing_log_grows_the_reports(reports, engine):
    """A report read again contains what was recorded meanwhile."""
    before = (await reports.hit_rate(NOON, NOON + HOUR))["answered"]

    await SqlEventLog(engine).append([row(50, hit()), row(51, miss())])
    await SqlProjector(engine).project()

    assert (await reports.hit_rate(NOON, NOON + HOUR))["answered"] == before + 2


async def test_a_log_that_does_not_exist_yet_is_an_empty_one(tmp_path):
    """On a fresh folder reports show nothing and no execution is known, and looking makes no database."""
    path = tmp_path / "amos.db"
    engine = open_engine(sqlite_url(path))

    found = SqlReports(engine)

    assert (await found.hit_rate(NOON, NOON + HOUR, ""))["answered"] == 0
    assert await found.execution("01a20753-4062-758d-85b4-5a2f60876c30") == []
    assert not path.exists()
    await engine.dispose()
