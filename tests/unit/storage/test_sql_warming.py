"""What warming reads of a database: the searches that are asked most, and when was last warmed."""

from __future__ import annotations

import msgspec
import pytest

from orchestrator.facts import WarmingFinished
from storage.sql_engine import open_engine
from storage.sql_event_log import SqlEventLog
from storage.sql_projector import SqlProjector
from storage.sql_texts import SqlTexts
from storage.sql_warming import LAST_RUNS, SqlAsked
from tests.support.histories import NOON, answered, received
from tests.support.rows import row, text_of

RUN = WarmingFinished(
    cause="schedule", ended_by="done", candidates=1, warmed=1, skipped=0, failed=0, duration_s=1.0
)
HOUR_S = 3_600.0


def search(number, key, at, **fields):
    """A frame of one answered search under a key."""
    end = msgspec.structs.replace(answered(client="anna", key=key), **fields)
    return row(number, (received(), end), at=at)


async def store(engine, rows, texts=()):
    """Put frames and texts there, and count them."""
    await SqlEventLog(engine).append(rows, texts)
    await SqlProjector(engine).project()


async def test_the_most_asked_come_with_what_was_asked(engine):
    """Calls of the window are counted by key; text and options are there if they are kept."""
    rows = [search(1, "k1", NOON, cache="miss", duration_s=2.0), search(2, "k1", NOON + 1, cache="l1")]
    rows += [search(number, "k2", NOON, cache="miss", duration_s=1.0) for number in (3, 4, 5)]
    rows += [search(6, "k3", NOON - 10 * HOUR_S), search(7, "k4", NOON)]
    texts = [
        text_of(1, "k1", "tides", request='{"topic":"news"}'),
        text_of(3, "k2", "ebb"),
        text_of(7, "k4", "flood", request="{}"),
    ]
    await store(engine, rows, texts)
    await SqlTexts(engine).erase({"k4"})

    found = await SqlAsked(engine).most_asked(NOON - HOUR_S, NOON + HOUR_S, 10)

    assert [(one.key, one.calls, one.fetched, one.text, one.options) for one in found] == [
        ("k2", 3, 3, "ebb", ""),
        ("k1", 2, 1, "tides", '{"topic":"news"}'),
        ("k4", 1, found[2].fetched, None, ""),
    ]
    assert found[0].duration_us == 3_000_000
    assert [one.key for one in await SqlAsked(engine).most_asked(NOON - HOUR_S, NOON + HOUR_S, 1)] == ["k2"]


async def test_the_last_run_by_schedule_is_known(engine):
    """Runs by hand, however many, and those that were cancelled are passed over."""
    by_hand = msgspec.structs.replace(RUN, cause="command")
    runs = (RUN, msgspec.structs.replace(RUN, ended_by="cancelled"), *[by_hand] * (LAST_RUNS + 1))
    assert await SqlAsked(engine).warmed_at() == 0.0

    rows = [
        row(number, (run,), at=NOON + number, stream=f"warming:{run.cause}")
        for number, run in enumerate(runs, 1)
    ]
    await store(engine, rows)

    assert await SqlAsked(engine).warmed_at() == NOON + 1


@pytest.mark.parametrize("kind", ["sqlite"])
async def test_where_there_is_no_log_nothing_was_asked(fresh_url):
    """A new installation has nothing to warm, and that is no error."""
    engine = open_engine(fresh_url)

    assert await SqlAsked(engine).most_asked(0.0, NOON, 10) == []
    assert await SqlAsked(engine).warmed_at() == 0.0
    await engine.dispose()
