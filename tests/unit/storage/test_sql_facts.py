"""The facts of one stream: in order, page by page, and nothing of other streams."""

from __future__ import annotations

import pytest

from orchestrator.errors import EventLogUnavailable
from orchestrator.facts import ProviderMoved
from storage import sql_facts
from storage.sql_engine import open_engine
from storage.sql_event_log import SqlEventLog
from storage.sql_facts import SqlFacts
from tests.support.histories import hit
from tests.support.rows import row


def moved(number):
    """A fact of the stream."""
    return row(number, (ProviderMoved(provider="wiki", priority=number, by="boss"),), stream="providers")


async def all_of(facts, after=0):
    """The priorities behind a position, and how far they reach."""
    found, pages, is_last = [], 0, False
    while not is_last:
        page = await facts.read(after)
        found += [frame.events[0].event.priority for frame in page.frames]
        after, is_last, pages = page.position, page.is_last, pages + 1
    return found, after, pages


async def test_facts_come_in_order_and_page_by_page(engine, monkeypatch):
    """Those of the stream, oldest first; a reader behind the last finds nothing, and then what is new."""
    monkeypatch.setattr(sql_facts, "PAGE_FRAMES", 2)
    await SqlEventLog(engine).append(
        [moved(1), row(2, hit()), moved(3), row(4, hit(), stream="keys"), moved(5)]
    )
    facts = SqlFacts(engine, "providers")

    found, position, pages = await all_of(facts)
    assert (found, pages) == ([1, 3, 5], 2)
    assert await all_of(facts, position) == ([], position, 1)

    await SqlEventLog(engine).append([moved(6)])
    assert (await all_of(facts, position))[0] == [6]


async def test_a_row_nobody_can_read_is_passed_over(engine):
    """It keeps nobody from what is behind it."""
    await SqlEventLog(engine).append([moved(1), moved(2)._replace(events="[1]"), moved(3)])

    found, position, _ = await all_of(SqlFacts(engine, "providers"))

    assert found == [1, 3]
    assert (await SqlFacts(engine, "providers").read(position)).position == position


async def test_before_there_is_a_log_nothing_was_said(fresh_url):
    """An installation that was never started has no facts, which is no fault."""
    engine = open_engine(fresh_url)
    page = await SqlFacts(engine, "providers").read(0)
    await engine.dispose()

    assert (page.position, page.frames, page.is_last) == (0, (), True)


async def test_a_database_out_of_reach_is_told(tmp_path):
    """Nobody takes "I could not look" for "nothing was said"."""
    engine = open_engine(f"postgresql://nobody@127.0.0.1:1/{tmp_path.name}", timeout_s=1.0)
    with pytest.raises(EventLogUnavailable):
        await SqlFacts(engine, "providers").read(0)
    await engine.dispose()


async def test_the_index_finds_the_stream(engine):
    """A look costs what is new in the stream, however much else was recorded since the last one."""
    facts = SqlFacts(engine, "providers")
    query = facts._query.where(sql_facts.frames.c.position > 1)
    text = str(query.compile(engine, compile_kwargs={"literal_binds": True}))
    explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
    async with engine.begin() as connection:
        plan = "\n".join(str(tuple(line)) for line in await connection.exec_driver_sql(explain + text))

    assert "ix_frames_stream" in plan, plan
