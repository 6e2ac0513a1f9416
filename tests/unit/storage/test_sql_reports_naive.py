"""Reports read from SQL say what a naive fold over `frames` says, over any window and grouping."""

from __future__ import annotations

import json
from random import Random

import msgspec
import pytest
from sqlalchemy import text

from orchestrator.reports.catalogue import REPORTS
from orchestrator.reports.report import TIMES, Question
from storage.codec import read_frame
from storage.sql_event_log import SqlEventLog
from storage.sql_projector import SqlProjector
from storage.sql_reports import SqlReports
from tests.support import naive_check, naive_fold
from tests.support.histories import NOON
from tests.support.random_histories import SPREAD_S, RandomHistories
from tests.support.rows import text_of
from tests.support.seeds import SEEDS

ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns")

EXECUTIONS = 120

TEXTS = {"k1": "tide tables", "k2": "harbour"}


async def facts_in(engine):
    """Everything in the table `frames`."""
    async with engine.connect() as connection:
        found = await connection.execute(
            text("SELECT stream, instance, events FROM frames ORDER BY position")
        )
        return naive_fold.facts_of(
            [
                {"stream": stream, "instance": instance, "events": json.loads(events)}
                for stream, instance, events in found
            ]
        )


def window(random, by):
    """A window of whole minutes: all of it, or some; by the minute a short one, as reports demand."""
    length_s = 20 * 3_600 if by == "minute" else SPREAD_S + 86_400
    begin = random.randrange(int(NOON) - 7_200, int(NOON) + SPREAD_S, 60)
    return begin, begin + random.randrange(60, length_s, 60)


@pytest.mark.parametrize("drawn", SEEDS)
async def test_a_report_of_any_window_equals_the_naive_fold(engine, drawn):
    """Every report, by everything it can be grouped by, in several windows and time zones, is exact."""
    random = Random(drawn)
    frames = RandomHistories(random).frames(EXECUTIONS)
    stored = [read_frame(msgspec.json.encode(frame)).row for frame in frames]
    texts = [text_of(1, key, text) for key, text in TEXTS.items()]
    await SqlEventLog(engine).append(stored, texts)
    await SqlProjector(engine).project()
    facts = await facts_in(engine)
    reports = SqlReports(engine)

    for name, report in REPORTS.items():
        for by in ("", *report.by):
            for _ in range(2 if by in TIMES else 1):
                since, until = window(random, by)
                zone = random.choice(ZONES) if by in TIMES else "UTC"
                asked = Question(since=since, until=until, by=by, time_zone=zone)
                found = await reports.report(name, asked)
                if name != "queries":  # which are counted by the hour
                    assert (found["since"], found["until"]) == (since, until)
                naive_check.check(name, found, facts, naive_fold.Question(by, zone=zone), TEXTS)
