"""What happens to databases: full, locked, gone, restarted, cut off in the middle of a batch."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import event

from orchestrator.errors import EventLogUnavailable
from orchestrator.events import RequestReceived
from storage.recorder_process import RecorderLoop
from tests.support.cutting_way import CuttingWay
from tests.support.histories import answered
from tests.support.recording import Recording, stop

LOCKED_S = 30.0
"""How long another program holds the database in the list of faults."""

DOWN_S = 60.0
"""How long the database is gone in the list of faults."""

ROOM_BYTES = 3_000_000
"""More than any file of an empty PostgreSQL has, in segments of 1 MB; a table of large frames is larger."""

LARGE_CHARS = 100_000
"""Of a fact that makes a large frame."""

Undo = Callable[[], Awaitable[None]]


async def full_disk(record: Recording) -> None:
    """No file of the database can grow: the recorder waits, says so, and goes on when there is room."""
    process = record.recorder_process()
    writer = record.writer()
    await writer.calls(20)
    await record.until_stored(20)
    limit = record.server.limit_files if record.server else partial(limit_files, process.pid or 0)
    limit(ROOM_BYTES)
    try:
        for _ in range(50):
            large = record.chance.randbytes(LARGE_CHARS // 2).hex()
            await writer.record(RequestReceived(operation="search", door="http", dialect=large), answered())
        await record.until_fault("out of reach")
        await writer.calls(20)
    finally:
        limit(None)
    await record.until_idle()
    await stop(process)


def limit_files(pid: int, size: int | None) -> None:
    """No file of the process may grow beyond so many bytes; `None` ends that."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))


async def locked(record: Recording) -> None:
    """Another program holds the database for long: writers go on, and all is stored after it lets go."""
    writer = record.writer()
    with record.hurried():
        async with record.recorder():
            await writer.calls(20)
            await record.until_stored(10)
            let_go = await hold(record)
            try:
                stored = record.stored()
                await writer.calls(20)
                await asyncio.sleep(LOCKED_S / record.factor)
                await record.until_fault("out of reach")
                assert record.stored() == stored
            finally:
                await let_go()
            await record.until_stored(stored + 20)


async def down(record: Recording) -> None:
    """The database is out of reach for long: writers go on, and all is stored when it is back."""
    writer = record.writer()
    with record.hurried():
        async with record.recorder():
            await writer.calls(20)
            await record.until_stored(10)
            stored = record.stored()
            come_back = await go_away(record)
            try:
                await writer.calls(20)
                await asyncio.sleep(DOWN_S / record.factor)
                await record.until_fault()
            finally:
                await come_back()
            await record.until_stored(stored + 20)


async def restarted(record: Recording) -> None:
    """The server, on SQLite the recorder in whose process it is, is stopped and started again and again."""
    writer = record.writer()
    process = record.recorder_process()
    for _ in range(record.rounds):
        await writer.calls(20)
        await asyncio.sleep(record.chance.uniform(0.0, 0.3))
        if record.server:
            await asyncio.to_thread(record.chance.choice((record.server.restart, record.server.crash)))
        else:
            await stop(process)
            process = record.recorder_process()
    await writer.calls(20)
    await stop(process)


async def cut_off_in_a_batch(record: Recording) -> None:
    """A batch fails half-way, or is committed and nobody hears of it: it is stored and counted once."""
    await record.written(40)
    await record.drain()
    await record.written(40)
    if record.server:
        await cut_at_a_statement(record)
    else:
        await run_out_of_pages(record)


async def cut_at_a_statement(record: Recording) -> None:
    """The connection ends before a statement, or between it and its answer."""
    assert record.server is not None
    word = record.chance.choice((b"COMMIT", b"INSERT INTO rollup_ledger", b"INSERT INTO frames"))
    nth = record.chance.choice((1, 2, 3)) if word == b"COMMIT" else 1
    async with CuttingWay(record.server.port) as way:
        url = record.url.replace(f":{record.server.port}/", f":{way.port}/")
        async with record.recorder(url=url):
            way.cut(word, nth=nth, delivered=record.chance.random() < 0.5)
            await record.written(20)
            await record.until_idle()
        assert way.cuts == 1


async def run_out_of_pages(record: Recording) -> None:
    """SQLite may take so few pages more that it fails within a batch (SQLITE_FULL), or within its fold."""
    with closing(sqlite3.connect(record.database)) as looking:
        pages = looking.execute("PRAGMA page_count").fetchone()[0]
    room = pages + record.chance.randrange(1, 8)
    async with RecorderLoop(record.folder, record.url) as recorder:

        @event.listens_for(recorder._engine.sync_engine, "connect")
        def limit(connection: object, _record: object) -> None:
            cursor = connection.cursor()  # type: ignore[attr-defined]
            cursor.execute(f"PRAGMA max_page_count = {room}")
            cursor.close()

        try:
            await recorder.drain()
        except EventLogUnavailable as error:
            assert "out of reach" in str(error)  # noqa: PT017 - a roomy page may take all of it
        else:
            raise AssertionError("the database was not full")


async def hold(record: Recording) -> Undo:
    """Take what a recorder needs; returns how to let go."""
    if record.server:
        other: asyncpg.Connection[Any] = await asyncpg.connect(record.url)
        await other.execute("BEGIN; LOCK TABLE frames IN EXCLUSIVE MODE")
        return partial(other.close)
    # In threads: the recorder, which may be in a transaction, goes on in the loop.
    connect = partial(sqlite3.connect, isolation_level=None, check_same_thread=False, timeout=5.0)
    file = await asyncio.to_thread(connect, record.database)
    await asyncio.to_thread(file.execute, "BEGIN IMMEDIATE")

    async def let_go() -> None:
        file.close()

    return let_go


async def go_away(record: Recording) -> Undo:
    """Stop the server; on SQLite take away the folder, as if its disk were not mounted. How to undo it."""
    if record.server:
        await asyncio.to_thread(record.server.stop)
        return partial(asyncio.to_thread, record.server.start)
    folder = Path(str(record.database)).parent
    away = folder.with_name("away")
    folder.rename(away)
    folder.touch()

    async def come_back() -> None:
        folder.unlink()
        away.rename(folder)

    return come_back


FAULTS = (full_disk, locked, down, restarted, cut_off_in_a_batch)
