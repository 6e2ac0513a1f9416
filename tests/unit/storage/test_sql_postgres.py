"""The ways of PostgreSQL: every wait ends, every fault has words, and no frame is refused."""

from __future__ import annotations

import asyncio
import random
import string
import time

import pytest
from sqlalchemy import text

from orchestrator.errors import EventLogUnavailable
from orchestrator.reports.report import Question
from storage import sql_postgres
from storage.sql_compaction import SqlCompaction
from storage.sql_engine import NoEventLog, dialect_of, open_engine, transaction
from storage.sql_event_log import SqlEventLog
from storage.sql_projector import Projected, SqlProjector
from storage.sql_prune import Pruned, prune
from storage.sql_rebuild import replay, verify
from storage.sql_reports import SqlReports
from storage.sql_schema import current, upgrade
from tests.support.histories import NOON, answered, hit, mixture
from tests.support.postgres import PASSWORD, shared_postgres
from tests.support.rows import row, rows, text_of

SECRET = "s3cret"


@pytest.fixture
def kind():
    """Everything here is about PostgreSQL."""
    return "postgresql"


def untold(*_: object) -> None:
    """Nobody listens."""


def role(name, *grants, database):
    """The address of the database for a user who has been granted just this."""
    server = shared_postgres()
    database = database.rpartition("/")[2]
    server.run_sql(f"DROP ROLE IF EXISTS {name}", f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'")
    if grants:
        server.run_sql(*grants, database=database)
    return server.url(database, user=name, password=SECRET)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (lambda server: server.url("postgres", password=SECRET), "refuses AMOS's user or password"),
        (lambda server: server.url("postgres", user="stranger"), "refuses AMOS's user or password"),
        (lambda server: server.url("nowhere"), "no database of that name"),
        (lambda server: f"{server.url('postgres')}?sslmode=require", "no TLS as sslmode asks for"),
        (
            lambda server: f"{server.url('postgres')}?sslmode=verify-full&sslrootcert=/no/{SECRET}",
            "a file or socket its address names cannot be opened",
        ),
        (lambda server: f"postgresql:///amos?host=/no/{SECRET}", "a file or socket"),
        (lambda server: f"postgresql://amos:{SECRET}@127.0.0.1:1/amos", "cannot be reached"),
        (lambda server: f"postgresql://amos:{SECRET}@no-such-host.invalid/amos", "cannot be reached"),
    ],
)
async def test_a_server_that_does_not_serve_is_explained(address, words):
    """The operator reads what is wrong, and nobody reads the password."""
    with pytest.raises(EventLogUnavailable, match=words) as refusal:
        await current(address(shared_postgres()))

    assert SECRET not in str(refusal.value)
    assert PASSWORD not in str(refusal.value)


async def test_the_address_is_not_in_the_engine(engine):
    """Whatever is printed of an engine or its pool, the password is not part of it."""
    shown = f"{engine!r} {engine.url.render_as_string(hide_password=False)} {engine.pool!r}"

    assert "postgresql+asyncpg://" in shown
    assert "127.0.0.1" not in shown


async def test_nobody_meets_a_dead_connection(engine):
    """Connections that the server has cut while they were idle are replaced before anybody uses them."""
    log = SqlEventLog(engine)
    await log.append([row(1, hit())])
    shared_postgres().run_sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'amos%'"
    )

    assert await log.last_position() > 0


async def test_a_server_that_is_silent_is_given_up(database_url, monkeypatch):
    """A server that keeps its connections and says nothing is an error in time, and found again after it."""
    monkeypatch.setattr(sql_postgres, "CONNECT_TIMEOUT_S", 0.3)
    monkeypatch.setattr(sql_postgres, "ANSWER_MARGIN_S", 0.1)
    engine = open_engine(database_url, timeout_s=0.1)
    log = SqlEventLog(engine)
    assert await log.last_position() == 0
    shared_postgres().pause()
    try:
        begun_at = time.monotonic()
        with pytest.raises(EventLogUnavailable, match="does not answer in time"):
            await log.last_position()
        assert time.monotonic() - begun_at < 30.0
    finally:
        shared_postgres().resume()

    assert await log.last_position() == 0
    await engine.dispose()


async def test_a_writer_that_sleeps_with_the_lock_loses_it(engine, database_url, monkeypatch):
    """A recorder that is stopped in its transaction does not stop all others: the server ends it."""
    monkeypatch.setattr(sql_postgres, "IDLE_TIMEOUT_S", 0.1)
    sleeper = open_engine(database_url, writer=True)

    async def sleep_with_the_lock():
        async with transaction(sleeper) as connection:
            await dialect_of(sleeper).lock_log(connection)
            await SqlEventLog(engine).append([row(1, hit())])
            await connection.execute(text("SELECT 1"))

    with pytest.raises(EventLogUnavailable):
        await sleep_with_the_lock()

    assert len(await SqlEventLog(engine).read(0, 10)) == 1
    await sleeper.dispose()


async def test_a_cancelled_append_leaves_nothing(engine, database_url):
    """Cancelling while it waits gives the connection back, and nothing of the batch is stored."""
    log, other = SqlEventLog(engine), open_engine(database_url, writer=True)
    async with transaction(other) as connection:
        await dialect_of(other).lock_log(connection)
        waiting = asyncio.create_task(log.append([row(1, hit())]))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    assert await log.read(0, 10) == []
    await log.append([row(1, hit())])
    assert len(await log.read(0, 10)) == 1
    await other.dispose()


async def test_what_postgresql_refuses_is_stored_all_the_same(engine):
    """U+0000, which its text cannot hold, and moments far away stop neither the log nor the counting."""
    log, projector = SqlEventLog(engine), SqlProjector(engine)
    odd = row(1, (answered(client="a\0b", topic="\0"),))
    far = row(2, hit())
    far = far._replace(recorded_at=4e9, events=far.events.replace('"at":18', '"at":99'))

    await log.append([odd._replace(stream="s\0"), far], [text_of(1, "k\0", "t\0")])

    assert await projector.project() == Projected(2, is_done=True)
    assert [frame.instance_seq for frame in await log.read_stream("s\0")] == [1]
    async with transaction(engine) as connection:
        assert (await connection.execute(text("SELECT text FROM queries"))).scalar() == "t\ufffd"
        assert (await connection.execute(text("SELECT max(start) FROM rollup_hit_rate"))).scalar() > 2**32
        assert (await connection.execute(text("SELECT count(*) FROM events"))).scalar() == 1 + len(hit())


async def test_names_that_postgresql_would_refuse_stop_no_counting(engine):
    """Two clients whose names are one to PostgreSQL are one; one too long for an index is cut."""
    long = "".join(random.Random(1).choices(string.ascii_letters, k=10_000))
    clients = ("a\0b", "a\ufffdb", long)
    await SqlEventLog(engine).append(
        [row(number, (answered(client=client),)) for number, client in enumerate(clients, 1)]
    )

    assert await SqlProjector(engine).project() == Projected(3, is_done=True)

    found = await SqlReports(engine).report("clients", Question(since=NOON, until=NOON + 3_600))
    assert {line["client"]: line["requests"] for line in found["rows"]} == {"a\ufffdb": 2, long[:100]: 1}


async def test_a_service_user_needs_no_more_than_the_manual_grants(database_url):
    """With the grants of docs/events.md AMOS records, reports, recounts and prunes, and changes no table."""
    url = role(
        "amos_service",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO amos_service",
        database=database_url,
    )
    engine = open_engine(url, writer=True)

    await upgrade(url)
    await SqlEventLog(engine).append(rows(mixture()), [text_of(1, "k", "text")])
    await SqlProjector(engine).project()

    found = await SqlReports(engine).report("hit-rate", Question(since=NOON, until=NOON + 3_600))
    assert found["answered"] > 0
    assert (await replay(url, untold)).is_replaced
    assert await prune(url, NOON + 60, untold) == Pruned(1, 0)
    assert (await verify(url, untold)).is_sound
    assert await SqlCompaction(engine).step(NOON)
    with pytest.raises(EventLogUnavailable, match="lacks a privilege"):
        async with transaction(engine) as connection:
            await connection.execute(text("DROP TABLE checkpoints"))
    await engine.dispose()


async def test_a_user_who_may_nothing_is_told_so(fresh_url):
    """Who cannot make the tables reads which kind of right is missing."""
    with pytest.raises(EventLogUnavailable, match="lacks a privilege"):
        await upgrade(role("amos_nobody", database=fresh_url))


async def test_another_encoding_is_refused():
    """A database that cannot hold every character would one day refuse a frame: it is refused at once."""
    server = shared_postgres()
    server.run_sql(
        "DROP DATABASE IF EXISTS latin", "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0"
    )

    with pytest.raises(EventLogUnavailable, match="ENCODING 'UTF8'"):
        await upgrade(server.url("latin"))


async def test_reports_of_an_empty_database_are_empty(fresh_url):
    """Before the first recorder has made the tables nothing was recorded, and that is no error."""
    engine = open_engine(fresh_url)
    reports = SqlReports(engine)

    found = await reports.report("health", Question(since=NOON, until=NOON + 60))
    assert found["requests"]["total"] == 0
    assert await reports.execution("e-1") == []
    with pytest.raises(NoEventLog):
        await SqlEventLog(engine).last_position()
    await engine.dispose()
