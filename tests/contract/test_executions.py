"""Search over executions: on every engine it finds what looking at every frame finds, a page at a time."""

from __future__ import annotations

import itertools
from itertools import product

import msgspec
import pytest

from orchestrator.errors import InvalidRequest
from orchestrator.events import CacheMissed, Frame
from orchestrator.executions import ExecutionQuery, FoundExecutions
from orchestrator.facts import CircuitOpened
from storage import sql_executions
from storage.codec import read_frame
from storage.sql_engine import open_engine, sqlite_url
from storage.sql_event_log import SqlEventLog
from storage.sql_reports import SqlReports
from tests.support.histories import NOON, answered, fallback, hit, known, miss, numbered, received, refused
from tests.support.naive_executions import executions_in

KEY, OTHER_KEY = "0" * 31 + "1", "0" * 31 + "2"
TEXTS = {KEY: "Tide  TABLES of Ärmelkanal", OTHER_KEY: "100% moon_phases"}

ENDS = (
    hit("agent"),
    (received(), known("agent"), refused("rate_limited", client="agent")),
    (received("extract", "mcp"), answered(operation="extract", door="mcp", provider="jina", cache="mixed")),
    (*fallback()[:2], CacheMissed(key=OTHER_KEY, reason="absent"), answered(key=OTHER_KEY, cache="l2")),
    (received(), CacheMissed(key=KEY, reason="absent"), answered(key=KEY, duration_s=3.5)),
)

WHOLE = {"since": NOON, "until": NOON + 1_000}


def frame(number: int, events, *, at: float, stream: str = "", first: int = 1, texts=None) -> Frame:
    """Frame `number` of the only writer."""
    return Frame(
        instance="i-1",
        instance_seq=number,
        stream=stream or f"e-{number}",
        recorded_at=at,
        events=numbered(events, at, first),
        texts=texts or {},
    )


def history() -> list[Frame]:
    """Executions of one and of two frames, some at the same moment, some stored late, and what is none."""
    frames = [
        frame(number, ENDS[number % len(ENDS)], at=NOON + number // 2, texts=TEXTS if number == 1 else None)
        for number in range(1, 31)
    ]
    begun, ended = miss("website")[:4], miss("website")[4:]
    frames += [
        frame(31, begun, at=NOON + 40, stream="e-two"),
        frame(32, ended, at=NOON + 41, stream="e-two", first=5),
        frame(33, begun, at=NOON + 42, stream="e-died"),
        frame(34, [CircuitOpened(provider="jina", reason="timeout", cooldown_s=30.0)], at=NOON + 43),
        frame(35, ENDS[3], at=NOON + 3.5, stream="e-late"),
        frame(36, (received(), refused("timed_out", client="website")), at=NOON + 2.25),
    ]
    return frames


async def store(url: str, frames: list[Frame]) -> None:
    """Append the frames, as a recorder does."""
    engine = open_engine(url, writer=True)
    found = [read_frame(msgspec.json.encode(frame)) for frame in frames]
    await SqlEventLog(engine).append(
        [one.row for one in found], [text for one in found for text in one.texts]
    )
    await engine.dispose()


@pytest.fixture
async def reports(database_url):
    """Reports over that history."""
    await store(database_url, history())
    engine = open_engine(database_url)
    yield SqlReports(engine)
    await engine.dispose()


async def pages(reports: SqlReports, **wanted: object) -> list[FoundExecutions]:
    """All pages, one after the other."""
    found = [await reports.executions(ExecutionQuery(**{**WHOLE, **wanted}))]
    while found[-1].next is not None:
        found.append(
            await reports.executions(ExecutionQuery(**{**WHOLE, **wanted, "before": found[-1].next}))
        )
    return found


QUERIES = (
    {},
    {"since": NOON + 3, "until": NOON + 4},
    {"since": NOON + 100},
    {"client": "agent"},
    {"client": "nobody"},
    {"client": ""},
    {"operation": "extract"},
    {"door": "mcp"},
    {"provider": "jina"},
    {"cache": "l2"},
    {"outcome": "failed"},
    {"error": "rate_limited"},
    {"duration_s_min": 3.5},
    {"client": "agent", "outcome": "answered", "cache": "l1"},
    {"client": "website", "outcome": "failed"},
    {"client": "agent", "error": "timed_out"},
    {"outcome": "answered", "error": "rate_limited"},
    {"provider": "tavily' OR '1'='1"},
    {"client": "%"},
    {"text": "TIDE tables"},
    {"text": "ÄRMEL"},
    {"text": "100%"},
    {"text": "moon%"},
    {"text": "n_p", "cache": "l2"},
    {"text": "nobody asked"},
    {"text": "'; DROP TABLE frames; --"},
    {"limit": 1},
    {"before": 35},
)


async def test_a_page_is_what_looking_at_every_frame_finds(reports):
    """Whatever is asked for, the newest that fit are found, and a cursor if there are more."""
    for wanted in QUERIES:
        query = ExecutionQuery(**{**WHOLE, "limit": 5, **wanted})

        assert await reports.executions(query) == executions_in(history(), query), wanted


async def test_all_pages_together_have_each_execution_once(reports, monkeypatch):
    """However little is looked at for a page: an execution of two frames is one, and what began is none."""
    for text, looked_at_max in product(("", "moon", "nobody asked"), (1, 3, 1_000)):
        monkeypatch.setattr(sql_executions, "LOOKED_AT_MAX", looked_at_max)
        monkeypatch.setattr(sql_executions, "SCATTERED_MAX", looked_at_max)

        found = await pages(reports, limit=2, text=text)

        wanted = executions_in(history(), ExecutionQuery(**WHOLE, limit=200, text=text)).executions
        assert [execution for page in found for execution in page.executions] == list(wanted)
        reached = [page.searched_since for page in found]
        assert reached == sorted(reached, reverse=True)
        assert reached[-1] == WHOLE["since"]


async def test_a_page_ends_where_enough_was_looked_at(reports, monkeypatch):
    """Of a page that is not full the cursor says where to go on, and the answer how far back it looked."""
    monkeypatch.setattr(sql_executions, "LOOKED_AT_MAX", 4)

    first, second, *_ = await pages(reports, cache="l1")

    assert [execution.execution_id for execution in first.executions] == ["e-30"]
    assert (first.next, first.searched_since) == (28, NOON + 14)
    assert [execution.execution_id for execution in second.executions] == ["e-25"]


async def test_what_is_recorded_while_pages_are_turned_moves_nothing(reports, database_url):
    """New ones come in front of the pages, late ones stand in their own moment; none is lost or twice."""
    before = {execution.execution_id for page in await pages(reports) for execution in page.executions}
    wanted, seen = ExecutionQuery(**WHOLE, limit=5), []
    for number in itertools.count(100, 2):
        page = await reports.executions(wanted)
        seen += [execution.execution_id for execution in page.executions]
        if page.next is None:
            break
        new = frame(number, ENDS[0], at=NOON + 500 + number)
        await store(database_url, [new, frame(number + 1, ENDS[0], at=NOON + number / 1_000)])
        wanted = msgspec.structs.replace(wanted, before=page.next)

    assert len(seen) == len(set(seen))
    assert before < set(seen)
    assert all(int(name[2:]) % 2 for name in set(seen) - before)


async def test_a_cursor_of_nonsense_is_refused(reports):
    """A place that is not in the record is nowhere to go on from."""
    for before in (0, 37, 10**18 - 1):
        with pytest.raises(InvalidRequest, match=r"^before: ") as refusal:
            await reports.executions(ExecutionQuery(**WHOLE, before=before))
        assert refusal.value.field == "before"


async def test_without_a_log_there_are_none(tmp_path):
    """A gateway that has recorded nothing yet has an empty page."""
    engine = open_engine(sqlite_url(tmp_path / "amos.db"))

    found = await SqlReports(engine).executions(ExecutionQuery(**WHOLE))

    assert found == FoundExecutions(searched_since=NOON)
    await engine.dispose()
