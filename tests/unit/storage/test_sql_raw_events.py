"""Taking events out of the log: each once, in order, as it was written, whatever stands between them."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import text

from orchestrator.errors import EventLogUnavailable
from orchestrator.events import UnknownEvent
from storage import sql_raw_events
from storage.sql_engine import open_engine, sqlite_url, transaction
from storage.sql_event_log import SqlEventLog
from storage.sql_raw_events import Selection
from tests.support.histories import NOON, fallback, hit, known, miss, mixture
from tests.support.rows import row, rows


@pytest.fixture
def log(engine):
    """An empty log."""
    return SqlEventLog(engine)


async def taken(log, **selection):
    """All events of the selection, and the positions that could not be read."""
    events, unreadable, shares = [], [], [0.0]
    async for page in log.raw_events(Selection(**selection)):
        events += page.events
        unreadable += page.unreadable
        shares.append(page.share)
    assert shares == sorted(shares)
    assert shares[-1] in {0.0, 1.0}
    return events, unreadable


async def streams(log, **selection):
    """The streams of the selection, each once, in the order in which they were met."""
    return list(dict.fromkeys(event.stream for event in (await taken(log, **selection))[0]))


@pytest.mark.parametrize("page", [1, 2, 3, 1000])
async def test_every_event_is_taken_once_and_in_order(log, monkeypatch, page):
    """However the log is cut into pages, what comes is what the log holds, also if many frames are as old."""
    monkeypatch.setattr(sql_raw_events, "PAGE_FRAMES", page)
    await log.append(rows(mixture()))
    await log.append([row(number, hit(), at=NOON + 9_000.0) for number in range(50, 55)])

    events, unreadable = await taken(log)

    expected = [
        (stored.position, stored.frame.stream, envelope.seq, envelope.at)
        for stored in await log.read(0, 100)
        for envelope in stored.frame.events
    ]
    assert [event[:4] for event in events] == expected
    assert unreadable == []


async def test_the_window_is_half_open(log):
    """A frame recorded at `since` is in, one recorded at `until` is not."""
    await log.append([row(number, hit(), at=NOON + number) for number in range(1, 6)])

    assert await streams(log, since=NOON + 2, until=NOON + 4) == ["e-2", "e-3"]
    assert await streams(log, since=NOON + 5) == ["e-5"]
    assert await streams(log, until=NOON + 1) == []


async def test_a_clock_that_went_back_loses_nothing(log, monkeypatch):
    """Frames come by the moment of their recording, whatever their position."""
    monkeypatch.setattr(sql_raw_events, "PAGE_FRAMES", 1)
    moments = [5.0, 1.0, 3.0, 1.0, 4.0]
    await log.append([row(number, hit(), at=NOON + at) for number, at in enumerate(moments, 1)])

    assert await streams(log) == ["e-2", "e-4", "e-3", "e-5", "e-1"]


async def test_what_is_recorded_meanwhile_is_not_taken(log, monkeypatch):
    """A log that grows is read to where it ended at the start."""
    monkeypatch.setattr(sql_raw_events, "PAGE_FRAMES", 1)
    await log.append([row(1, hit()), row(2, hit())])

    found = []
    async for page in log.raw_events(Selection()):
        found += [event.stream for event in page.events]
        await log.append([row(100 + len(found), hit(), at=NOON + 500.0)])

    assert list(dict.fromkeys(found)) == ["e-1", "e-2"]


async def test_one_stream_is_taken_alone(log):
    """Only the frames of that stream, of whatever time; an impossible name is that of none."""
    await log.append([row(1, miss()[:4]), row(2, hit()), row(3, miss()[4:])._replace(stream="e-1")])

    events, _ = await taken(log, stream="e-1")

    assert [event.head.type for event in events] == [event.__struct_config__.tag for event in miss()]
    assert await streams(log, stream="e-\0") == []


@pytest.mark.parametrize("client", ["agent", "50%_off", 'a "quoted\\ name', "größe", "a/b"])
async def test_one_client_is_taken_alone(log, client):
    """Frames with an event that names it, and no other: not one that looks like it, not one of its text."""
    others = [known(name) for name in ("agent-2", "AGENT", "50%xoff", "50__off", "a", "grösse")]
    await log.append(
        [
            row(1, hit(client)),
            row(2, (*others, UnknownEvent(f'"client":"{client}"'))),
            row(3, (UnknownEvent("amos.tea.made.v1"), known(client))),
        ]
    )

    assert await streams(log, client=client) == ["e-1", "e-3"]


async def test_an_event_stays_what_was_written(log):
    """A type nobody knows keeps its fields, and an event somebody laid out by hand is on one line."""
    later = {"type": "amos.tea.made.v7", "sort": "assam", "cups": [1, {"big": 2**70}], "client": 7}
    written = json.dumps([{"seq": 1, "at": NOON, "event": later}], indent=2)
    await log.append([row(1, hit())._replace(events=written)])

    ((event,), _) = await taken(log)

    assert json.loads(event.event) == later
    assert b"\n" not in event.event


@pytest.mark.parametrize(
    "garbage",
    ["", "[", "null", "[1, 2]", '[{"seq":1}]', '[{"seq":1,"at":2,"event":{}}]', "[" * 9_999, '"\\ud800"'],
)
async def test_a_row_without_events_is_named_and_left_out(log, garbage):
    """Damage in one row costs that row."""
    await log.append([row(1, hit()), row(2, hit())._replace(events=garbage), row(3, fallback())])

    events, unreadable = await taken(log)

    assert list(dict.fromkeys(event.stream for event in events)) == ["e-1", "e-3"]
    assert unreadable == [2]


async def test_an_empty_log_has_nothing_to_take(log):
    """No frame, no page."""
    assert await taken(log) == ([], [])


async def test_a_log_that_is_not_there_is_unavailable(tmp_path):
    """Whoever wants to take events from nowhere is told."""
    engine = open_engine(sqlite_url(tmp_path / "missing.sqlite"))

    with pytest.raises(EventLogUnavailable):
        await taken(SqlEventLog(engine))
    await engine.dispose()


async def test_a_page_needs_no_transaction_behind_it(log, engine, monkeypatch):
    """Between two pages nothing is held: others may write, and delete, while a reader takes its time."""
    monkeypatch.setattr(sql_raw_events, "PAGE_FRAMES", 1)
    await log.append([row(number, hit(), at=NOON + number) for number in range(1, 4)])

    found = []
    async for page in log.raw_events(Selection()):
        found += [event.stream for event in page.events]
        async with transaction(engine) as connection:
            await connection.execute(text("DELETE FROM frames WHERE position = 2"))

    assert list(dict.fromkeys(found)) == ["e-1", "e-3"]
