"""The event log in SQL: once each, in order, found by position and by stream."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from orchestrator.errors import EventLogUnavailable
from storage.sql_engine import open_engine, sqlite_url, transaction
from storage.sql_event_log import SqlEventLog
from tests.support.histories import NOON, fallback, hit, miss, numbered
from tests.support.rows import row, text_of


@pytest.fixture
def log(engine):
    """An empty log."""
    return SqlEventLog(engine)


async def test_frames_come_back_in_the_order_of_their_append(log):
    """Positions rise with every append, and frames are read behind a position up to a limit."""
    await log.append([row(1, hit()), row(2, miss())])
    await log.append([row(3, fallback())])

    first, second = await log.read(0, 2)
    (third,) = await log.read(second.position, 2)

    assert [stored.frame.instance_seq for stored in (first, second, third)] == [1, 2, 3]
    assert first.position < second.position < third.position == await log.last_position()
    assert second.frame.events == numbered(miss())


async def test_a_frame_appended_twice_is_there_once(log):
    """A batch that was perhaps committed may be appended again, with newer frames behind it."""
    await log.append([row(1, hit()), row(2, hit())])
    await log.append([row(1, hit()), row(2, hit()), row(3, hit())])

    assert [stored.frame.instance_seq for stored in await log.read(0, 10)] == [1, 2, 3]


async def test_writers_number_their_own_frames(log):
    """The same number of two writers is two frames."""
    await log.append([row(1, hit()), row(1, hit(), instance="i-2")])

    assert len(await log.read(0, 10)) == 2


async def test_a_late_frame_of_a_known_writer_is_taken(log):
    """A frame with a lower number than the newest known one is stored, not taken for a repetition."""
    await log.append([row(2, hit())])
    await log.append([row(1, hit())])

    assert [stored.frame.instance_seq for stored in await log.read(0, 10)] == [2, 1]


async def test_a_position_is_never_given_twice(log, engine):
    """After the newest frames were deleted the next one still gets a higher position."""
    await log.append([row(1, hit()), row(2, hit())])
    newest = await log.last_position()
    async with transaction(engine) as connection:
        await connection.execute(text("DELETE FROM frames"))

    await log.append([row(3, hit())])

    assert await log.last_position() > newest


async def test_a_stream_is_read_whole_and_alone(log):
    """An execution has all its frames, oldest first; one that is not there has none."""
    intent = row(1, miss()[:4])
    end = row(2, miss()[4:])._replace(stream="e-1")
    await log.append([intent, row(3, hit()), end])

    assert [frame.instance_seq for frame in await log.read_stream("e-1")] == [1, 2]
    assert await log.read_stream("e-9") == []


async def test_texts_are_kept_once_and_beside_the_log(log, engine):
    """The first text of a key stays; another spelling of the same question does not replace it."""
    await log.append([row(1, hit())], [text_of(1, "k1", "what is x"), text_of(1, "k2", "y")])
    await log.append([row(2, hit())], [text_of(2, "k1", "WHAT is x")])

    async with transaction(engine) as connection:
        found = (await connection.execute(text("SELECT * FROM queries ORDER BY key_hash"))).all()
    assert [tuple(line) for line in found] == [("k1", "what is x", NOON, ""), ("k2", "y", NOON, "")]


async def test_a_text_gets_what_else_was_asked_if_it_lacks_that(log, engine):
    """Rows of before options were kept are completed by the next miss; what is there is never replaced."""
    await log.append([row(1, hit())], [text_of(1, "k1", "x"), text_of(1, "k2", "y", request="{}")])
    await log.append(
        [row(2, hit())],
        [text_of(2, "k1", "X", request='{"topic":"news"}'), text_of(2, "k2", "Y", request='{"days":1}')],
    )
    await log.append([row(3, hit())], [text_of(3, "k1", "x")])

    async with transaction(engine) as connection:
        found = (await connection.execute(text("SELECT text, request FROM queries ORDER BY key_hash"))).all()
    assert [tuple(line) for line in found] == [("x", '{"topic":"news"}'), ("y", "{}")]


async def test_a_repeated_frame_does_not_bring_an_erased_text_back(log, engine):
    """Whoever appends a frame twice does not undo what was erased in between; a new frame may."""
    first, second = text_of(1, "k1", "what is x"), text_of(2, "k2", "y")
    await log.append([row(1, hit())], [first])
    async with transaction(engine) as connection:
        await connection.execute(text("DELETE FROM queries"))

    await log.append([row(1, hit()), row(2, hit())], [first, second])

    async with transaction(engine) as connection:
        assert (await connection.execute(text("SELECT key_hash FROM queries"))).scalars().all() == ["k2"]


async def test_the_view_shows_a_row_for_every_event(log, engine):
    """`events` has number, moment, type and JSON of each event, at the position of its frame."""
    await log.append([row(1, hit())])

    async with transaction(engine) as connection:
        lines = (
            await connection.execute(
                text(
                    "SELECT stream, seq, occurred_at, type, event ->> 'tier' AS tier FROM events ORDER BY seq"
                )
            )
        ).all()
    assert [tuple(line) for line in lines] == [
        ("e-1", 1, NOON, "amos.request.received.v1", None),
        ("e-1", 2, NOON + 0.001, "amos.caller.authenticated.v1", None),
        ("e-1", 3, NOON + 0.002, "amos.cache.hit.v1", "l1"),
        ("e-1", 4, NOON + 0.003, "amos.request.completed.v1", None),
    ]


async def test_appending_nothing_asks_nobody(tmp_path):
    """An empty batch needs no database."""
    engine = open_engine(sqlite_url(tmp_path / "missing" / "amos.sqlite"), writer=True)

    await SqlEventLog(engine).append([])
    await engine.dispose()


async def test_a_database_that_is_not_there_is_an_unavailable_log(tmp_path):
    """No folder, no file, no schema: each is EventLogUnavailable, never a driver's error."""
    engine = open_engine(sqlite_url(tmp_path / "missing" / "amos.sqlite"))

    with pytest.raises(EventLogUnavailable):
        await SqlEventLog(engine).last_position()
    await engine.dispose()


@pytest.mark.parametrize("broken", ["[", '[{"seq":1,"at":1.0,"event":{"type":"x","a":' + "[" * 100_000])
async def test_a_row_somebody_broke_is_an_unavailable_log(log, engine, broken):
    """Events that are no JSON any more, or nested beyond reading, are reported as a fault of the log."""
    await log.append([row(1, hit())])
    async with transaction(engine) as connection:
        await connection.execute(text("UPDATE frames SET events = :broken"), {"broken": broken})

    with pytest.raises(EventLogUnavailable, match=r"frame at position 1 of .* cannot be read"):
        await log.read(0, 1)
