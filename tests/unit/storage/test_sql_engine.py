"""Opening databases: which addresses are served, and how waiting and faults look."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest
from sqlalchemy import text

from orchestrator.errors import EventLogUnavailable, SettingsError
from storage import sql_postgres, sql_sqlite
from storage.sql_engine import NoEventLog, dialect_of, open_engine, sqlite_url, transaction
from tests.support.seeds import SEEDS


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("not a url", "expected the address"),
        ("mysql://user:secret@db/amos", "expected the address"),
        ("sqlite://", "must be a file"),
        ("sqlite:///:memory:", "must be a file"),
    ],
)
def test_an_address_we_cannot_serve_stops_the_start(url, words):
    """Other databases, and ones that only one process could see, are refused without showing the address."""
    with pytest.raises(SettingsError, match=words) as refusal:
        open_engine(url)

    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("kind", "query", "expected"),
    [("sqlite", "PRAGMA synchronous", 2), ("postgresql", "SHOW synchronous_commit", "on")],
    indirect=["kind"],
)
async def test_a_writer_syncs_every_commit(engine, query, expected):
    """The journal's copy is deleted after the commit, so the commit must be on the disk."""
    async with transaction(engine) as connection:
        assert (await connection.execute(text(query))).scalar() == expected


async def test_readers_do_not_wait_for_the_writer(engine, database_url):
    """While a writer is in its transaction others read the state before it."""
    reader = open_engine(database_url)
    async with transaction(engine) as writing:
        await writing.execute(text("INSERT INTO checkpoints VALUES ('x', 1, 1)"))
        async with transaction(reader) as reading:
            assert (await reading.execute(text("SELECT count(*) FROM checkpoints"))).scalar() == 0
    await reader.dispose()


async def test_a_reader_sees_one_state(engine, database_url):
    """What is committed between two statements of a reader's transaction is seen by its next one only."""
    reader = open_engine(database_url)
    seen = []
    async with transaction(reader) as reading:
        for number in (1, 2):
            seen.append((await reading.execute(text("SELECT count(*) FROM checkpoints"))).scalar())
            async with transaction(engine) as writing:
                await writing.execute(text(f"INSERT INTO checkpoints VALUES ('x', {number}, 1)"))
    async with transaction(reader) as reading:
        seen.append((await reading.execute(text("SELECT count(*) FROM checkpoints"))).scalar())
    await reader.dispose()

    assert seen == [0, 0, 2]


async def test_a_few_read_at_once_and_nobody_waits_long_for_a_place(database_url, monkeypatch):
    """However many ask for reports, serving goes on beside a few of them; who finds no place is told so."""
    monkeypatch.setattr(sql_sqlite, "PLACE_S_MAX", 0.1)
    monkeypatch.setattr(sql_postgres, "CONNECT_TIMEOUT_S", 2.0)
    reader, places, told = open_engine(database_url), 0, ""
    async with contextlib.AsyncExitStack() as held:
        while not told and places < 20:
            try:
                await held.enter_async_context(transaction(reader))
                places += 1
            except EventLogUnavailable as crowded:
                told = crowded.message
    await reader.dispose()

    assert 2 <= places <= 5
    assert "in time" in told


async def test_a_statement_ends_in_time(database_url):
    """What takes too long is given up and said so; the statements after it have all their time again."""
    reader = open_engine(database_url, timeout_s=0.5)
    count = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n {}) SELECT count(*) FROM n"
    endless, short = text(count.format("")), text(count.format("WHERE x < 30000"))

    async with asyncio.timeout(20.0):
        with pytest.raises(EventLogUnavailable, match="took too long"):
            async with transaction(reader) as connection:
                await connection.execute(endless)
        async with transaction(reader) as connection:
            for _ in range(2):
                assert (await connection.execute(short)).scalar() == 30_000
                await asyncio.sleep(0.3)
    await reader.dispose()


async def test_a_lock_held_too_long_is_an_unavailable_log(engine, database_url, impatience):
    """A writer that does not get its turn says so; nothing of its transaction is left."""
    impatient = open_engine(database_url, writer=True)
    async with transaction(engine) as holder:
        await dialect_of(engine).lock_log(holder)

        with pytest.raises(EventLogUnavailable, match="out of reach"):
            async with transaction(impatient) as connection:
                await dialect_of(impatient).lock_log(connection)

    await impatient.dispose()


async def test_looking_creates_no_database(tmp_path):
    """Whoever reads where nothing was recorded is told so, and leaves no empty file behind."""
    engine = open_engine(sqlite_url(tmp_path / "amos.sqlite"))

    with pytest.raises(NoEventLog, match="no event log yet"):
        async with transaction(engine):
            pass

    assert list(tmp_path.iterdir()) == []
    await engine.dispose()


async def test_a_fault_undoes_the_whole_transaction(engine):
    """Of a transaction that fails in its second statement the first is undone."""

    async def insert_twice():
        async with transaction(engine) as connection:
            await connection.execute(text("INSERT INTO checkpoints VALUES ('x', 1, 1)"))
            await connection.execute(text("INSERT INTO checkpoints VALUES ('x', 1, 2)"))

    with pytest.raises(EventLogUnavailable):
        await insert_twice()

    async with transaction(engine) as connection:
        assert (await connection.execute(text("SELECT count(*) FROM checkpoints"))).scalar() == 0


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
async def test_a_file_put_in_place_of_another_is_the_database(database_url, tmp_path):
    """A backup that is restored under a running server is what it reads, not the file that is gone."""
    file, backup = tmp_path / "amos.sqlite", tmp_path / "backup.sqlite"
    backup.write_bytes(file.read_bytes())
    engine = open_engine(database_url, writer=True)
    async with transaction(engine) as connection:
        await connection.execute(text("INSERT INTO checkpoints VALUES ('x', 1, 1)"))
    for old in tmp_path.glob("amos.sqlite*"):
        old.unlink()
    backup.replace(file)

    async with transaction(engine) as connection:
        assert (await connection.execute(text("SELECT count(*) FROM checkpoints"))).scalar() == 0
    await engine.dispose()


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_cancelled_transaction_lets_go_of_its_lock(engine, database_url, seed):
    """Wherever it is cut off, also while somebody keeps its exception, the next writer gets its turn."""
    chance = random.Random(seed)
    kept = []

    async def work():
        async with transaction(engine) as connection:
            await dialect_of(engine).lock_log(connection)
            for number in range(20):
                await connection.execute(text(f"INSERT INTO checkpoints VALUES ('x', {number}, 1)"))
                await connection.execute(text("SELECT * FROM checkpoints"))

    other = open_engine(database_url, writer=True)
    for _ in range(20):
        task = asyncio.create_task(work())
        await asyncio.sleep(chance.random() * 0.02)
        task.cancel()
        kept += await asyncio.gather(task, return_exceptions=True)
        async with transaction(other) as connection:
            await dialect_of(other).lock_log(connection)
            await connection.execute(text("DELETE FROM checkpoints"))
    await other.dispose()

    assert any(isinstance(error, asyncio.CancelledError) for error in kept)
