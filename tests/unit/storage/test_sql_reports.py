"""Reports: they say exactly what the events say, over whole minutes of the window."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from orchestrator.errors import InvalidRequest, NotFound
from orchestrator.events import Envelope, Frame
from orchestrator.facts import (
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
)
from orchestrator.reports.catalogue import REPORTS
from orchestrator.reports.hit_rate import HitRateReport
from orchestrator.reports.report import TIMES, Fact, Question
from storage.codec import QueryText, read_frame
from storage.sql_engine import open_engine, sqlite_url
from storage.sql_event_log import SqlEventLog
from storage.sql_projector import SqlProjector
from storage.sql_reports import SqlReports
from tests.support.histories import NOON, hit, miss, mixture
from tests.support.reported import report_of
from tests.support.rows import row, rows

HOUR = 3_600

FROM = int(NOON) // HOUR * HOUR
"""Queries are counted by the hour."""


@pytest.fixture
async def reports(engine):
    """Reports over a few of everything, one execution every forty seconds."""
    log = SqlEventLog(engine)
    await log.append(rows(mixture()), [QueryText("k1", "tide tables", NOON, "", "i-1", 1)])
    await log.append([fact(number, event) for number, event in enumerate(CIRCUIT)])
    await SqlProjector(engine).project()
    return SqlReports(engine)


CIRCUIT = (
    CircuitOpened(provider="tavily", reason="http_500", cooldown_s=30.0),
    CircuitHalfOpened(provider="tavily"),
    CircuitClosed(provider="tavily"),
)


def fact(number, event):
    """A frame of a circuit, a second after the one before it."""
    at = NOON + 560 + number
    envelopes = (Envelope(number + 1, at, event),)
    frame = Frame(
        instance="i-1", instance_seq=100 + number, stream="circuit:tavily", recorded_at=at, events=envelopes
    )
    return read_frame(msgspec.json.encode(frame)).row


async def history(engine, since=NOON, until=NOON + HOUR):
    """The events of a window from the raw frames."""
    stored = await SqlEventLog(engine).read(0, 1_000)
    envelopes = (envelope for _, frame in stored for envelope in frame.events)
    return [envelope for envelope in envelopes if since <= envelope.at < until]


def asked(by="", since=NOON, until=NOON + HOUR):
    """A question about the hour after noon."""
    return Question(since=since, until=until, by=by)


@pytest.mark.parametrize(
    ("report", "by"), [(report, by) for report in REPORTS.values() for by in ("", *report.by)]
)
async def test_a_report_equals_a_fold_by_hand(reports, engine, report, by):
    """Each report, however it is grouped, says what folding the raw frames by hand says."""
    found = await reports.report(report.name, asked(by, FROM, FROM + 2 * HOUR))

    events = await history(engine, FROM, FROM + 2 * HOUR)
    facts = [
        Fact("circuit:tavily", "i-1", NOON + 560 + number, event) for number, event in enumerate(CIRCUIT)
    ]
    by_hand = report_of(report, events, by, texts={"k1": "tide tables"}, facts=facts)
    for group in by_hand["rows"] if by in TIMES else ():
        group["time"] = datetime.fromtimestamp(group[by], UTC).isoformat()
    assert found == {"since": FROM, "until": FROM + 2 * HOUR, "tz": "UTC"} | by_hand


async def test_only_the_rankings_that_are_wanted_are_read(reports):
    """They are the same as among all; the others are there, and empty."""
    question = asked(since=FROM, until=FROM + 2 * HOUR)
    everything = await reports.report("queries", question)

    found = await reports.report("queries", msgspec.structs.replace(question, ranked_by=("empty",)))

    assert everything["top"]
    assert everything["empty"]
    assert found == everything | {"top": []}


@pytest.mark.parametrize("by", ["", "minute", "operation"])
async def test_only_the_stages_that_are_wanted_are_read(reports, by):
    """They are the same as among all, by whatever they are grouped; a report without stages has it all."""
    question = asked(since=FROM, until=FROM + 2 * HOUR, by=by)
    wanted = msgspec.structs.replace(question, among=("stage", ("hit", "miss")))
    everything = await reports.report("latency", question)

    found = await reports.report("latency", wanted)

    assert {row["stage"] for row in found["stages"]} == {"hit", "miss"}
    assert len(everything["stages"]) > len(found["stages"])
    for part in ("stages", "rows"):
        assert found[part] == [row for row in everything[part] if row["stage"] in {"hit", "miss"}]


async def test_what_is_not_told_by_a_dimension_is_told_whole(reports):
    """A report that knows no stages does not mind that some are wanted."""
    question = asked(since=FROM, until=FROM + 2 * HOUR)
    wanted = msgspec.structs.replace(question, among=("stage", ("hit", "miss")))

    assert await reports.report("health", wanted) == await reports.report("health", question)


async def test_history_of_circuits_is_the_newest(reports):
    """The newest changes come first, as many as were asked for, and none from outside of the window."""
    question = Question(since=NOON, until=NOON + HOUR, limit=2)

    found = await reports.report("providers", question)
    before = await reports.report("providers", asked(until=NOON + 120))

    assert [(change["change"], change["changed_at"]) for change in found["circuits"]] == [
        ("closed", NOON + 562),
        ("half_opened", NOON + 561),
    ]
    assert before["circuits"] == []


@pytest.mark.parametrize("report", [REPORTS["latency"], REPORTS["clients"], REPORTS["hit-rate"]])
@pytest.mark.parametrize("by", ["", "client", "hour", "day"])
async def test_rows_of_every_span_add_up(engine, report, by):
    """A window of days, hours and minutes says the same as folding its frames by hand."""
    history_rows = rows(mixture() * 4, apart_s=9_000)
    await SqlEventLog(engine).append(history_rows)
    await SqlProjector(engine).project()
    since, until = NOON, NOON + 25 * 9_000 + 60

    found = await SqlReports(engine).report(report.name, asked(by, since, until))

    by_hand = report_of(report, await history(engine, since, until), by)
    strip = {"time"} if by in TIMES else set()
    found["rows"] = [{name: row[name] for name in row if name not in strip} for row in found["rows"]]
    assert found == {"since": since, "until": until, "tz": "UTC"} | by_hand


async def test_a_window_is_widened_to_whole_minutes(reports, engine):
    """A report says which whole minutes it covers, and covers them exactly."""
    found = await reports.report("hit-rate", asked(since=NOON + 90.5, until=NOON + 119.0))

    assert (found["since"], found["until"]) == (NOON + 60, NOON + 120)
    by_hand = report_of(HitRateReport(), await history(engine, NOON + 60, NOON + 120))
    assert found["answered"] == by_hand["answered"] > 0


async def test_an_empty_window_has_no_ratios(reports):
    """Where nothing was asked nothing is 0 % or 100 %: ratios and quantiles are unknown."""
    window = {"since": NOON - HOUR, "until": NOON - 60}

    assert (await reports.report("health", asked(**window)))["availability"] is None
    assert (await reports.report("hit-rate", asked(**window)))["hit_ratio"] is None
    assert (await reports.report("latency", asked("provider", **window)))["rows"] == []


@pytest.mark.parametrize("by", ["weather", "bucket", "minute; DROP TABLE frames"])
async def test_an_unknown_grouping_is_the_callers_fault(reports, by):
    """What cannot be grouped by is refused with what can."""
    with pytest.raises(InvalidRequest, match="by: expected one of") as refusal:
        await reports.report("hit-rate", asked(by))
    assert refusal.value.field == "by"


async def test_an_unknown_report_is_not_found(reports):
    """The refusal names those there are."""
    with pytest.raises(NotFound, match="health"):
        await reports.report("weather", asked())


async def test_an_execution_is_read_from_the_log(reports):
    """An execution is its frames; one that is not there has none."""
    (frame,) = await reports.execution("e-3")

    assert [envelope.event for envelope in frame.events] == list(mixture()[2])
    assert await reports.execution("e-99") == []


async def test_a_growing_log_grows_the_reports(reports, engine):
    """A report read again contains what was recorded meanwhile."""
    before = (await reports.report("hit-rate", asked()))["answered"]

    await SqlEventLog(engine).append([row(50, hit()), row(51, miss())])
    await SqlProjector(engine).project()

    assert (await reports.report("hit-rate", asked()))["answered"] == before + 2


async def test_a_log_that_does_not_exist_yet_is_an_empty_one(tmp_path):
    """On a fresh folder reports show nothing and no execution is known, and looking makes no database."""
    path = tmp_path / "amos.db"
    engine = open_engine(sqlite_url(path))

    found = SqlReports(engine)

    assert (await found.report("hit-rate", asked()))["answered"] == 0
    assert await found.execution("01a20753-4062-758d-85b4-5a2f60876c30") == []
    assert not path.exists()
    await engine.dispose()
