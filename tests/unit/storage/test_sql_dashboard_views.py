"""The views for dashboards: each figure once, of the live generation, whatever was compacted or replayed."""

from __future__ import annotations

import msgspec
import pytest
from sqlalchemy import func, inspect, select, text, update
from sqlalchemy.sql.expression import column, table

from orchestrator.facts import CircuitClosed, CircuitOpened
from orchestrator.projections.buckets import estimate, upper_bound
from orchestrator.projections.fold import DAY_S, HOUR_S, MINUTE_S
from orchestrator.reports.report import Question
from storage.sql_compaction import SqlCompaction
from storage.sql_engine import open_engine, transaction
from storage.sql_event_log import SqlEventLog
from storage.sql_projector import SqlProjector, live_generation
from storage.sql_prune import prune
from storage.sql_rebuild import replay
from storage.sql_reports import SqlReports
from storage.sql_tables import FIRST, frames, parked, rollups
from tests.support.histories import NOON, answered, known, miss, mixture, received
from tests.support.rows import row

VIEWS = {
    "health": "dashboard_outcomes",
    "clients": "dashboard_requests",
    "hit_rate": "dashboard_cache",
    "latency": "dashboard_latency",
    "stage_latency": "dashboard_stage_latency",
    "client_latency": "dashboard_client_latency",
    "providers": "dashboard_providers",
    "ledger": "dashboard_ledger",
    "queries": "dashboard_queries",
}
"""The view of each rollup."""

OTHERS = {
    *("dashboard_executions", "dashboard_circuits", "dashboard_texts", "dashboard_store"),
    *("dashboard_checkpoints", "dashboard_parked", "dashboard_tables"),
}

CIRCUIT = (
    CircuitOpened(provider="tavily", reason="http_500", cooldown_s=30.0),
    CircuitClosed(provider="tavily"),
)


SAID_TWICE = {
    "health": (
        "sum(degraded), sum(fallback), sum(stale) FROM dashboard_outcomes",
        lambda said: [said["requests"][name] for name in ("degraded", "fallback", "stale")],
    ),
    "hit-rate": (
        "sum(requests), sum(results) FROM dashboard_cache",
        lambda said: [said["answered"], said["results"]],
    ),
    "clients": (
        "sum(requests), sum(hits) FROM dashboard_requests",
        lambda said: [said["requests"], said["hits"]],
    ),
    "cost": (
        "sum(spent_usd_micros), sum(assumed_usd_micros), sum(saved_usd_micros) FROM dashboard_ledger",
        lambda said: [said[f"{name}_usd_micros"] for name in ("spent", "assumed", "saved")],
    ),
    "latency": (
        "sum(calls) FROM dashboard_stage_latency",
        lambda said: [sum(one["calls"] for one in said["stages"])],
    ),
    "providers": (
        "sum(CASE subject WHEN 'attempt' THEN calls END) FROM dashboard_providers",
        lambda said: [sum(one["calls"] for one in said["rows"])],
    ),
    "queries": (
        "sum(calls), sum(hits) FROM dashboard_queries",
        lambda said: [sum(one[name] for one in said["top"]) for name in ("calls", "hits")],
    ),
}
"""Of each report some totals: what to ask its view for them, and where they stand in the report."""


def untold(*_: object) -> None:
    """Nobody listens."""


async def ask(engine, statement):
    """The rows of a statement in SQL."""
    async with transaction(engine) as connection:
        return (await connection.execute(text(statement))).all()


async def record(engine, *days, extra=()):
    """A few of everything on each of these days after noon, counted."""
    histories = [(day, events) for day in days for events in mixture()]
    found = [row(number, events, at=NOON + day * DAY_S) for number, (day, events) in enumerate(histories, 1)]
    await SqlEventLog(engine).append([*found, *extra])
    await SqlProjector(engine).project()


async def sums(engine, resolution_s):
    """For each rollup the sums of its measures by its dimensions, as its view shows them."""
    found = {}
    async with transaction(engine) as connection:
        for rollup, _ in rollups:
            names = (*rollup.dimensions, *rollup.measures)
            view = table(VIEWS[rollup.name], *map(column, ("resolution_s", *names)))
            keys = [view.c[name] for name in rollup.dimensions]
            query = select(*keys, *(func.sum(view.c[name]) for name in rollup.measures)).group_by(*keys)
            rows = await connection.execute(query.where(view.c.resolution_s == resolution_s))
            size = len(keys)
            found[rollup.name] = {tuple(row[:size]): tuple(map(int, row[size:])) for row in rows}
    return found


async def counted(engine):
    """The same as the days of the live generation have it."""
    found = {}
    async with transaction(engine) as connection:
        live = await live_generation(connection)
        for rollup, rows in rollups:
            keys = [rows.c[name] for name in rollup.dimensions]
            query = select(*keys, *(func.sum(rows.c[name]) for name in rollup.measures)).group_by(*keys)
            result = await connection.execute(query.where(rows.c.generation == live, rows.c.span_s == DAY_S))
            size = len(keys)
            found[rollup.name] = {tuple(row[:size]): tuple(map(int, row[size:])) for row in result}
    return found


@pytest.mark.parametrize("resolution_s", [MINUTE_S, HOUR_S, DAY_S])
async def test_each_resolution_has_every_count_once(engine, resolution_s):
    """The sums of a view are those of the rollup, whichever resolution is asked for."""
    await record(engine, 0, 1)

    found = await sums(engine, resolution_s)

    assert found == await counted(engine)
    assert all(found.values())


async def test_what_was_compacted_is_shown_by_longer_spans(engine):
    """Where minutes or hours were let go the longer rows stand in, and nothing counts twice."""
    await record(engine, 0, 1, *range(90, 190))
    compaction = SqlCompaction(engine)
    while not await compaction.step(NOON + 190 * DAY_S):
        pass

    found = await ask(engine, "SELECT DISTINCT resolution_s, span_s FROM dashboard_outcomes ORDER BY 1, 2")

    assert found == [(60, 60), (60, 3600), (60, 86400), (3600, 3600), (3600, 86400), (86400, 86400)]
    for resolution_s in (MINUTE_S, HOUR_S, DAY_S):
        assert await sums(engine, resolution_s) == await counted(engine)


async def test_a_replay_is_followed(engine, database_url):
    """When another generation is put in the place of the live one the views show that, and nothing else."""
    await record(engine, 0)
    before = await sums(engine, MINUTE_S)
    ledger = next(rows for rollup, rows in rollups if rollup.name == "ledger")
    async with transaction(engine) as connection:
        await connection.execute(update(ledger).values(calls=ledger.c.calls + 7))
    assert await sums(engine, MINUTE_S) != before

    await replay(database_url, untold)

    async with transaction(engine) as connection:
        assert await live_generation(connection) != FIRST
    assert await sums(engine, MINUTE_S) == before


async def test_a_prune_leaves_every_figure(engine, database_url):
    """Old frames are gone from the views over frames; all sums stay those of the reports, recounted too."""
    changes = [
        row(90 + number, (event,), stream="circuit:tavily", at=NOON + number * DAY_S)
        for number, event in enumerate(CIRCUIT)
    ]
    await record(engine, 0, 1, extra=changes)
    before = [await sums(engine, resolution_s) for resolution_s in (MINUTE_S, HOUR_S, DAY_S)]

    assert await prune(database_url, NOON + DAY_S / 2, untold) == (len(mixture()) + 1, 0)

    for _ in range(2):
        assert [await sums(engine, resolution_s) for resolution_s in (MINUTE_S, HOUR_S, DAY_S)] == before
        for name, (totals, figures_of) in SAID_TWICE.items():
            said = await SqlReports(engine).report(name, Question(since=NOON, until=NOON + 2 * DAY_S))
            (shown,) = await ask(engine, f"SELECT {totals} WHERE resolution_s = 60")
            assert [int(figure) for figure in shown] == figures_of(said), name
            assert any(shown), name
        await replay(database_url, untold)
    for view in ("executions", "circuits"):
        found = await ask(engine, f"SELECT recorded_at FROM dashboard_{view}")
        assert {at for (at,) in found} == {NOON + DAY_S}


async def test_buckets_say_which_durations_are_in_them(engine):
    """The bounds in the view are those of the fold."""
    await record(engine, 0)

    found = await ask(engine, "SELECT DISTINCT bucket, upper_s, estimate_s FROM dashboard_latency")

    assert len(found) > 3
    for bucket, upper_s, estimate_s in found:
        assert float(upper_s) == pytest.approx(upper_bound(bucket), rel=1e-12)
        assert float(estimate_s) == pytest.approx(estimate(bucket), rel=1e-12)


async def test_both_engines_have_the_same_views(new_database, tmp_path):
    """Names and columns are alike, but that PostgreSQL has the time as a timestamp too."""
    found = {}
    for kind in ("sqlite", "postgresql"):
        engine = open_engine(new_database(kind, tmp_path), writer=True)
        async with transaction(engine) as connection:
            found[kind] = await connection.run_sync(_columns)
        await engine.dispose()

    assert set(found["postgresql"]) == {*VIEWS.values(), *OTHERS}
    assert found["sqlite"] == {
        name: [one for one in columns if one != "time"] for name, columns in found["postgresql"].items()
    }
    assert all("time" in found["postgresql"][name] for name in VIEWS.values())


def _columns(connection):
    inspector = inspect(connection)
    names = [name for name in inspector.get_view_names() if name.startswith("dashboard_")]
    return {name: [column["name"] for column in inspector.get_columns(name)] for name in names}


async def test_an_execution_is_shown_with_its_trace(engine):
    """Whoever has ended is there, with the caller's trace or its own; whoever has not is not."""
    own, of_caller, open_ = "018f-aa", "018f-bb", "018f-cc"
    asked = msgspec.structs.replace(received(), trace_id="a" * 32)
    await SqlEventLog(engine).append(
        [
            row(1, (received(), known(), answered()), stream=own),
            row(2, (asked, known()), stream=of_caller),
            row(3, (answered(client="agent"),), stream=of_caller, first=3),
            row(4, (asked, known()), stream=open_),
        ]
    )

    found = await ask(engine, "SELECT execution_id, trace_id, client FROM dashboard_executions ORDER BY 1")

    assert found == [(own, "018faa", "local-operator"), (of_caller, "a" * 32, "agent")]


async def test_a_row_that_is_no_json_ends_no_query(engine):
    """What is parked as unreadable is shown as that, and the views over frames go on."""
    await record(engine, 0, extra=[row(90, CIRCUIT[:1], stream="circuit:tavily", at=NOON + 1.5)])
    async with transaction(engine) as connection:
        await connection.execute(update(frames).values(events="no {json").where(frames.c.position > 3))
        await connection.execute(parked.insert().values(generation=FIRST, position=4, reason="x", events=1))

    assert len(await ask(engine, "SELECT * FROM dashboard_executions")) == len(mixture())
    assert await ask(engine, "SELECT state, reason FROM dashboard_circuits") == [(None, "")]
    assert await ask(engine, "SELECT position, reason, events FROM dashboard_parked") == [(4, "x", 1)]
    assert await ask(engine, "SELECT parked FROM dashboard_store") == [(1,)]


async def test_changes_of_circuits_are_shown(engine):
    """Each change as it happened: when, whose, what, and why."""
    changes = [
        row(number, (event,), stream="circuit:tavily", at=NOON + number)
        for number, event in enumerate(CIRCUIT, 1)
    ]
    await SqlEventLog(engine).append(changes)
    await SqlProjector(engine).project()

    found = await ask(
        engine, "SELECT recorded_at, provider, state, reason FROM dashboard_circuits ORDER BY 1"
    )

    assert found == [(NOON + 1, "tavily", "opened", "http_500"), (NOON + 2, "tavily", "closed", "")]


async def test_the_standing_of_the_log_is_shown(engine):
    """How far it reaches, how much is counted, since when the rest waits; sizes are those of the database."""
    await record(engine, 0)
    position = len(mixture())
    assert await ask(engine, "SELECT position, counted_position, lag_s FROM dashboard_store") == [
        (position, position, 0.0)
    ]

    await SqlEventLog(engine).append([row(90, miss(), at=NOON - 1)])

    ((end, counted_position, lag_s),) = await ask(
        engine, "SELECT position, counted_position, lag_s + 0.0 FROM dashboard_store"
    )
    assert (end, counted_position) == (position + 1, position)
    (now,) = (await ask(engine, "SELECT CURRENT_TIMESTAMP"))[0]
    assert (lag_s > 0) == (str(now) > "2027-01-15"), "NOON is the 15th of January 2027"
    behind = await ask(engine, "SELECT DISTINCT behind FROM dashboard_checkpoints")
    assert behind == [(1,)]
    assert sum(size for (size,) in await ask(engine, "SELECT table_bytes FROM dashboard_tables")) > 0


@pytest.mark.parametrize("kind", ["postgresql"])
async def test_figures_of_a_window_come_from_a_range_of_the_key(engine, kind):
    """PostgreSQL reads neither other generations, spans and windows, nor the rows of other resolutions."""
    async with transaction(engine) as connection:
        for span_s in (MINUTE_S, HOUR_S, DAY_S):
            await connection.execute(
                text(
                    "INSERT INTO rollup_stage_latency SELECT generation, CAST(:span_s AS integer),"
                    " 1800000000 + CAST(n AS bigint) * CAST(:span_s AS integer), 'hit', 0, 1, 1, 1, 1"
                    " FROM generate_series(1, 20000) AS n, generate_series(0, 1)"
                    " AS generation"
                ),
                {"span_s": span_s},
            )
        await connection.execute(text("ANALYZE rollup_stage_latency"))

    plan = await ask(
        engine,
        "EXPLAIN SELECT sum(calls) FROM dashboard_stage_latency"
        " WHERE resolution_s = CASE WHEN 60000 < 3600000 THEN 60 ELSE 3600 END"
        " AND epoch_s > 1800000000 - span_s AND epoch_s <= 1800086400",
    )

    scans = [line for (line,) in plan if "pk_rollup_stage_latency" in line]
    ranges = [line for (line,) in plan if "Index Cond" in line and "start > 17999" in line]
    assert len(scans) == len(ranges) == 3, "minutes, and before these hours, and before those days"
    assert not [line for (line,) in plan if "Seq Scan on rollup" in line]
