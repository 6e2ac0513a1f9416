"""The recorder: everything answered gets into SQL once, whoever dies when."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text

from orchestrator.errors import EventLogUnavailable
from orchestrator.events import Cost, UnknownEvent
from orchestrator.reports.report import Question
from storage import recorder_process
from storage.file_journal import FileJournal
from storage.file_segments import encode_record, list_segments, segment_path
from storage.file_status import read_status
from storage.recorder_process import RecorderBusy, RecorderLoop, drain, record_forever
from storage.sql_engine import NoEventLog, dialect_of, open_engine, transaction
from storage.sql_event_log import SqlEventLog
from storage.sql_projector import SqlProjector
from storage.sql_reports import SqlReports
from tests.support.clock import FakeClock
from tests.support.histories import NOON, hit, numbered
from tests.support.histories import answered as answered_event


@pytest.fixture
def url(fresh_url):
    """A database in which there is nothing yet."""
    return fresh_url


@pytest.fixture
async def journal(tmp_path):
    """A writer that lives as long as the test."""
    journal = FileJournal(tmp_path / "journal", instance="w-1")
    yield journal
    await journal.aclose()


async def write(journal, count=1, texts=None):
    """Frames of hits, durable when this returns."""
    for _ in range(count):
        await journal.append("e-1", NOON, numbered(hit()), texts or {})


async def recorded(url):
    """What is in SQL: (instance, number) of every frame, in order of position."""
    engine = open_engine(url)
    stored = await SqlEventLog(engine).read(0, 10_000)
    await engine.dispose()
    return [(frame.instance, frame.instance_seq) for _, frame in stored]


async def answered(url):
    """How many answered calls the reports count."""
    engine = open_engine(url)
    report = await SqlReports(engine).report("hit-rate", Question(since=NOON - 60, until=NOON + 60))
    await engine.dispose()
    return report["answered"]


async def rows(url, query):
    """What a query finds; nothing without a schema."""
    engine = open_engine(url)
    try:
        async with transaction(engine) as connection:
            return [tuple(row) for row in (await connection.execute(text(query))).all()]
    except NoEventLog:
        return []
    finally:
        await engine.dispose()


async def stored(url):
    """How many frames are in SQL."""
    return len(await rows(url, "SELECT position FROM frames"))


async def until_stored(url):
    """Give way until a frame is in SQL; the test's time limit ends the wait."""
    while not await stored(url):  # noqa: ASYNC110  (another connection; there is no event to wait for)
        await asyncio.sleep(0.001)


async def test_draining_moves_everything_into_sql_and_reports(tmp_path, url, journal):
    """A drain makes the schema, stores all frames in order and folds them."""
    await write(journal, 3)

    assert await drain(tmp_path, url) == 3

    assert await recorded(url) == [("w-1", 1), ("w-1", 2), ("w-1", 3)]
    assert await answered(url) == 3


async def test_a_live_writer_keeps_its_segment(tmp_path, url, journal):
    """A segment in use is drained again and again and deleted when its writer is done with it."""
    async with RecorderLoop(tmp_path, url) as recorder:
        await write(journal, 2)
        assert await recorder.drain() == 2
        await write(journal)
        assert await recorder.drain() == 1
        assert len(list_segments(tmp_path / "journal")) == 1

        await journal.aclose()
        assert await recorder.drain() == 0
        assert list_segments(tmp_path / "journal") == []
    assert await answered(url) == 3


async def test_a_data_directory_has_one_recorder(tmp_path, url, journal):
    """A second recorder is refused while the first one is there; a mere drain leaves the work to it."""
    await write(journal)
    async with RecorderLoop(tmp_path, url):
        with pytest.raises(RecorderBusy):
            await RecorderLoop(tmp_path, url).__aenter__()
        assert await drain(tmp_path, url) == 0

    assert await drain(tmp_path, url) == 1


async def test_segments_of_dead_writers_are_drained(tmp_path, url):
    """Whoever wrote a segment, and however they ended, its frames get into SQL."""
    for instance in ("w-1", "w-2"):
        writer = FileJournal(tmp_path / "journal", instance=instance)
        await write(writer, 2)
        await writer.aclose()
    torn = list_segments(tmp_path / "journal")[0]
    torn.write_bytes(torn.read_bytes() + encode_record(b"{}")[:-1])

    await drain(tmp_path, url)

    assert sorted(await recorded(url)) == [("w-1", 1), ("w-1", 2), ("w-2", 1), ("w-2", 2)]
    assert list_segments(tmp_path / "journal") == []


async def test_a_record_that_is_no_frame_is_set_aside(tmp_path, url, journal, caplog):
    """A whole record with nonsense in it stops nobody; its segment is kept and the fault is said."""
    await write(journal)
    await journal.aclose()
    path = segment_path(tmp_path / "journal", "foreign", 1)
    path.write_bytes(encode_record(b"not json"))

    with caplog.at_level(logging.ERROR):
        await drain(tmp_path, url)

    assert await recorded(url) == [("w-1", 1)]
    assert [left.name for left in (tmp_path / "journal").iterdir()] == ["foreign.000001.seg.damaged"]
    assert "foreign" in caplog.text
    assert read_status(tmp_path).damaged == 1


async def test_a_segment_that_cannot_be_read_is_told(tmp_path, url, journal, caplog):
    """The others are stored and counted, the fault is said until it is gone, and a drain is none with it."""
    await write(journal)
    await journal.aclose()
    odd = segment_path(tmp_path / "journal", "foreign", 1)
    odd.mkdir()
    for _ in range(2):
        with pytest.raises(IsADirectoryError):
            await drain(tmp_path, url)
    during = read_status(tmp_path)
    odd.rmdir()
    await drain(tmp_path, url)

    assert await answered(url) == 1
    assert (during.fault, during.drained_at) == ("A segment of the journal cannot be read.", 0.0)
    assert read_status(tmp_path).fault == ""
    assert "foreign cannot be read" in caplog.text


async def test_texts_go_into_their_own_table(tmp_path, url, journal):
    """The text of a query is in `queries` and nowhere in the event log."""
    await write(journal, texts={"k1": "a private question"})
    await drain(tmp_path, url)

    assert await rows(url, "SELECT key_hash, text FROM queries") == [("k1", "a private question")]
    assert "private" not in str(await rows(url, "SELECT * FROM frames"))


@asynccontextmanager
async def locked(url):
    """Another program holds the lock that every append needs."""
    engine = open_engine(url, writer=True)
    async with transaction(engine) as connection:
        await dialect_of(engine).lock_log(connection)
        yield
    await engine.dispose()


async def test_a_locked_database_loses_nothing(tmp_path, url, journal, impatience):
    """While SQL is away a drain fails, the journal keeps everything, and the next drain finds it."""
    await drain(tmp_path, url)
    await write(journal, 2)

    async with locked(url):
        with pytest.raises(EventLogUnavailable):
            await drain(tmp_path, url)

    assert await drain(tmp_path, url) == 2
    assert await answered(url) == 2


async def test_running_survives_a_fault_and_says_so(tmp_path, url, journal, impatience):
    """A recorder whose database is locked reports the fault, goes on trying, and drains in the end."""
    await drain(tmp_path, url)
    async with locked(url):
        await write(journal)
        stop = asyncio.Event()
        running = asyncio.create_task(record_forever(tmp_path, url, stop))
        await until(lambda: (status := read_status(tmp_path)) is not None and status.fault)
    await until_stored(url)
    stop.set()
    await running

    assert await answered(url) == 1
    assert read_status(tmp_path).fault == ""


async def until(condition):
    """Give way until the condition holds; the test's time limit ends the wait."""
    while not condition():  # noqa: ASYNC110  (a file of another task; there is no event to wait for)
        await asyncio.sleep(0.001)


async def test_a_stopped_recorder_leaves_an_empty_journal(tmp_path, url, journal):
    """What was recorded before the stop is in SQL after it, and the status says how much."""
    stop = asyncio.Event()
    running = asyncio.create_task(record_forever(tmp_path, url, stop))
    await write(journal, 5)
    await journal.aclose()

    stop.set()
    await running

    assert await answered(url) == 5
    assert list_segments(tmp_path / "journal") == []
    status = read_status(tmp_path)
    assert (status.frames, status.backlog_bytes, status.damaged) == (5, 0, 0)


async def test_the_status_says_since_when(tmp_path, url):
    """A fault has the moment at which it began, and its end has one of its own."""
    clock = FakeClock()
    async with RecorderLoop(tmp_path, url, clock=clock) as recorder:
        moments = []
        for fault in ("", "away", "away", ""):
            await clock.sleep(10.0)
            recorder._report(fault=fault)
            moments.append(read_status(tmp_path).since - clock.now())

    assert moments == [-10.0, 0.0, -10.0, 0.0]


async def test_writers_and_recorder_work_side_by_side(tmp_path, url):
    """Writers that rotate all the time, and a recorder that reads behind them, lose and repeat nothing."""
    stop = asyncio.Event()
    running = asyncio.create_task(record_forever(tmp_path, url, stop))
    writers = [
        FileJournal(tmp_path / "journal", instance=f"w-{number}", segment_bytes_max=2_000)
        for number in range(2)
    ]

    await asyncio.gather(*(write(writer, 200) for writer in writers))
    for writer in writers:
        await writer.aclose()
    stop.set()
    await running

    found = await recorded(url)
    for number in range(2):
        assert [seq for instance, seq in found if instance == f"w-{number}"] == list(range(1, 201))
    assert await answered(url) == 400
    assert list_segments(tmp_path / "journal") == []


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
async def test_a_replaced_database_is_filled_anew(tmp_path, url, journal):
    """A database that vanished under a running recorder is made again; later frames are found in it."""
    stop = asyncio.Event()
    running = asyncio.create_task(record_forever(tmp_path, url, stop))
    await until((tmp_path / "recorder.json").exists)
    for path in tmp_path.glob("amos.sqlite*"):
        path.unlink()
    await write(journal)

    await until((tmp_path / "amos.sqlite").exists)
    stop.set()
    await running

    assert await answered(url) == 1


async def test_an_absurd_number_stops_nobody(tmp_path, url, journal, caplog):
    """A frame with a number no table can hold is parked, an unknown type counted; so are the others."""
    absurd = answered_event(saved=Cost(amount=1e30, unit="credits", usd_micros=10**30))
    await journal.append("e-0", NOON, numbered((absurd, UnknownEvent("amos.tea.made.v1"))), {})
    await write(journal, 2)
    await journal.aclose()

    with caplog.at_level(logging.ERROR):
        assert await drain(tmp_path, url) == 3

    assert await answered(url) == 2
    status = read_status(tmp_path)
    assert (status.parked, status.unknown, status.fault) == (1, 1, "")
    assert caplog.text.count("are parked") == 1
    assert list_segments(tmp_path / "journal") == []


async def test_a_bug_in_a_projection_does_not_stop_the_record(tmp_path, url, journal, monkeypatch, caplog):
    """Whatever folding raises, frames go on being stored, the fault is told, and it is logged once."""

    async def broken(_projector):
        raise ZeroDivisionError

    monkeypatch.setattr(SqlProjector, "project", broken)
    async with RecorderLoop(tmp_path, url) as recorder:
        for count in (1, 2):
            await write(journal)
            await recorder.drain()
            assert await stored(url) == count

    assert "reports stand still" in read_status(tmp_path).fault
    assert caplog.text.count("a fault it does not know") == 1


async def test_the_reports_catch_up_when_the_bug_is_gone(tmp_path, url, journal, monkeypatch):
    """What was stored and could not be counted is counted by the next recorder that can."""
    await write(journal, 3)
    with monkeypatch.context() as patch:
        patch.setattr(SqlProjector, "project", None)
        assert await drain(tmp_path, url) == 3

    await drain(tmp_path, url)

    assert await answered(url) == 3


async def test_running_survives_what_nobody_foresaw(tmp_path, url, journal, monkeypatch, caplog):
    """An exception of an unknown kind is waited out and told as any fault, its traceback logged once."""
    honest, faults = SqlEventLog.append, [ArithmeticError(), ArithmeticError()]

    async def moody(log, *rows):
        if faults:
            raise faults.pop()
        await honest(log, *rows)

    monkeypatch.setattr(SqlEventLog, "append", moody)
    monkeypatch.setattr(recorder_process, "BUSY_S", 0.001)
    stop = asyncio.Event()
    running = asyncio.create_task(record_forever(tmp_path, url, stop))
    await write(journal)

    await until_stored(url)
    stop.set()
    await running

    assert await answered(url) == 1
    assert caplog.text.count("ArithmeticError") == caplog.text.count("Traceback") == 1


async def test_a_damaged_segment_counts_once(tmp_path, url, journal):
    """A segment that is read in several batches, each with damage, is one segment set aside."""
    path = segment_path(tmp_path / "journal", "foreign", 1)
    path.write_bytes(encode_record(b"not json") * 2_500)

    await drain(tmp_path, url)

    assert read_status(tmp_path).damaged == 1


async def test_writers_of_one_batch_are_stored_by_time(tmp_path, url):
    """Frames of several writers come in the order of their moments, each writer's in its own order."""
    for instance, moments in (("w-b", (1.0, 4.0, 3.5)), ("w-a", (2.0, 3.0, 5.0))):
        writer = FileJournal(tmp_path / "journal", instance=instance)
        for moment in moments:
            await writer.append("e-1", NOON + moment, numbered(hit()), {})
        await writer.aclose()

    await drain(tmp_path, url)

    assert await recorded(url) == [("w-b", 1), ("w-a", 1), ("w-a", 2), ("w-b", 2), ("w-b", 3), ("w-a", 3)]
