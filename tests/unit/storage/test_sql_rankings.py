"""Rankings: the short way over the leaders of days gives what adding up everything gives."""

from __future__ import annotations

import random

import pytest

from orchestrator.projections.fold import DAY_S, HOUR_S, by_span
from orchestrator.projections.queries import QueriesRollup
from orchestrator.reports.catalogue import REPORTS
from orchestrator.reports.queries import RANKINGS
from orchestrator.reports.report import Question
from orchestrator.reports.windows import plan
from storage import sql_rankings
from storage.sql_engine import dialect_of, transaction
from storage.sql_rankings import Ranking
from storage.sql_reports import SqlReports
from storage.sql_tables import FIRST, queries, rollups

ROLLUP = QueriesRollup()
TABLE = next(table for rollup, table in rollups if rollup.name == ROLLUP.name)
BEGIN = 1_800_000_000 // DAY_S * DAY_S

SEEDS = (1, 2, 3)


def popular(chance, keys):
    """Calls as they are: few searches are asked often."""
    return {f"k{n:04}": chance.randrange(1 + 200 // (n + 1)) for n in range(keys)}


def alike(chance, keys):
    """Every search is asked as often as every other one, or not at all."""
    return {f"k{n:04}": chance.randrange(2) for n in range(keys)}


def bursts(chance, keys):
    """Hours in which one search is asked by everybody."""
    return {f"k{n:04}": 1 for n in range(keys) if chance.random() < 0.1} | {f"b{chance.randrange(9)}": 300}


SHAPES = {"popular": popular, "alike": alike, "bursts": bursts}


def hours(shape, seed, days=4, keys=100):
    """Counts by hour and key: each measure is a part of the calls."""
    chance = random.Random(f"{shape} {seed}")
    counts = {}
    for hour in range(BEGIN, BEGIN + days * DAY_S, HOUR_S):
        for key, calls in SHAPES[shape](chance, keys).items():
            if calls:
                parts = [chance.randrange(calls + 1) if chance.random() < 0.3 else 0 for _ in range(7)]
                counts[hour, key] = (calls, *parts)
    return counts


async def store(engine, counts, generation=FIRST):
    """Put the counts into the table as the projector does, by the hour and by the day."""
    rows = [
        (generation, span_s, *key, *value)
        for span_s in ROLLUP.spans_s
        for key, value in (counts if span_s == HOUR_S else by_span(counts, span_s)).items()
    ]
    async with transaction(engine) as connection:
        for begin in range(0, len(rows), 5_000):
            await dialect_of(engine).upsert(connection, TABLE, rows[begin : begin + 5_000])


def by_hand(counts, measure, limit, since, until):
    """The first keys with their totals, from every row there is."""
    totals = {}
    for (hour, key), value in counts.items():
        if since <= hour < until:
            known = totals.get(key, (0,) * len(value))
            totals[key] = tuple(a + b for a, b in zip(known, value, strict=True))
    place = ROLLUP.measures.index(measure)
    ranked = sorted(totals.items(), key=lambda total: (-total[1][place], total[0]))
    return [total for total in ranked if total[1][place] > 0][:limit]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shape", SHAPES)
async def test_rankings_are_exact(engine, shape, seed):
    """Whatever the distribution, the window, the limit and the measure, ties included: nothing is missed."""
    counts = hours(shape, seed)
    await store(engine, counts)
    await store(engine, hours(shape, seed + 100, days=1), generation=FIRST + 1)
    windows = [
        (0, 4 * DAY_S),
        (5 * HOUR_S, 3 * DAY_S + 7 * HOUR_S),
        (HOUR_S, 20 * HOUR_S),
        (-DAY_S, 40 * DAY_S),
    ]

    for since, until in windows:
        pieces = plan(Question(since=BEGIN + since, until=BEGIN + until), {}, ROLLUP.spans_s).pieces
        for measure in ROLLUP.ranked_by:
            for limit in (1, 20):
                expected = by_hand(counts, measure, limit, BEGIN + since, BEGIN + until)
                async with transaction(engine) as connection:
                    found = await Ranking(ROLLUP, measure, limit, FIRST).totals(connection, pieces)
                assert found == expected, (measure, limit, since, until)


async def test_leaders_need_not_be_found(engine, monkeypatch):
    """A floor that is far too low costs time and nothing else."""
    monkeypatch.setattr(sql_rankings, "LEADING_DAYS", 1)
    monkeypatch.setattr(sql_rankings, "LEADERS_MORE", 0)
    monkeypatch.setattr(sql_rankings, "KEYS_AT_ONCE", 7)
    counts = hours("bursts", 4)
    await store(engine, counts)
    pieces = plan(Question(since=BEGIN, until=BEGIN + 6 * DAY_S), {}, ROLLUP.spans_s).pieces

    async with transaction(engine) as connection:
        found = await Ranking(ROLLUP, "calls", 5, FIRST).totals(connection, pieces)

    assert found == by_hand(counts, "calls", 5, BEGIN, BEGIN + 6 * DAY_S)


async def test_an_empty_window_ranks_nobody(engine):
    """Before the first row, after the last and in an empty table there is nothing to rank."""
    reports = SqlReports(engine)
    for _ in range(2):
        for since in (0, BEGIN + 90 * DAY_S):
            found = await reports.report("queries", Question(since=since, until=since + 3 * DAY_S))
            assert [found[name] for name in RANKINGS] == [[]] * len(RANKINGS)
        await store(engine, hours("popular", 5, days=1, keys=5))


async def test_hostile_keys_and_texts_are_only_data(engine):
    """A key is bound and never part of the SQL; its text is looked up whatever it looks like."""
    key = "'); DROP TABLE frames; --:keys"
    await store(engine, {(BEGIN, key): (1, 0, 1, 0, 0, 0, 10, 0)})
    async with transaction(engine) as connection:
        await dialect_of(engine).upsert(connection, queries, [(key, "=cmd|' /C calc'!A0", 1.0, "")])

    found = await SqlReports(engine).report("queries", Question(since=BEGIN, until=BEGIN + DAY_S))

    assert [(row["key"], row["text"]) for row in found["top"]] == [(key, "=cmd|' /C calc'!A0")]


def test_every_ranking_has_its_index():
    """A measure by which a report ranks is one in whose order the days' rows are kept."""
    assert set(RANKINGS.values()) == set(ROLLUP.ranked_by)
    assert len(REPORTS["queries"].needs("")) == len(RANKINGS)
    assert {index.name for index in TABLE.indexes} == {f"ix_{TABLE.name}_{name}" for name in ROLLUP.ranked_by}
