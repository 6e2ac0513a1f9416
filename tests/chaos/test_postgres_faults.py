"""PostgreSQL restarted, killed, locked, absent or shared: calls are answered and recorded, each once."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import Iterator

import asyncpg
import pytest

from storage.file_status import read_status
from tests.chaos.conftest import Install
from tests.support.audit import stored_frames
from tests.support.installation import Installation
from tests.support.load import Load
from tests.support.postgres import PostgresServer
from tests.support.processes import until
from tests.support.seeds import MORE_SEEDS, SEEDS

LOCKED_S = 6.5
"""Longer than a recorder waits for a lock, so that its failure and its next attempt are seen."""

RECOVERED_S = 20.0
"""How long it may take until the record goes on."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of this module's own, because things happen to it."""
    running = PostgresServer()
    running.start()
    yield running
    running.close()


def settings(url: str) -> dict[str, str]:
    """What an installation is told whose database others may share."""
    return {"AMOS_DATABASE_URL": url, "AMOS_KEY_PEPPER": "pepper-of-the-tests-alone-as-long-as-one-should-be"}


@pytest.mark.parametrize("seed", SEEDS[:1] + MORE_SEEDS)
async def test_the_server_comes_back(server: PostgresServer, install: Install, seed: int) -> None:
    """A server that restarts or crashes in the middle costs no answer, loses no frame and doubles none."""
    chance = random.Random(seed)
    installation = install(**settings(server.new_database()))
    await installation.amos.start()
    async with Load(installation.amos, seed) as load:
        await load.answer_more(20)
        for fate in (PostgresServer.restart, PostgresServer.crash):
            await asyncio.sleep(chance.uniform(0.1, 1.0))
            sys.stdout.write(f"seed {seed}: {fate.__name__} after {len(load.answered)} answers\n")
            await asyncio.to_thread(fate, server)
            await load.answer_more(20)

    assert await installation.settled(load) == []
    assert not load.refused


async def test_the_server_is_not_there_at_the_start(server: PostgresServer, install: Install) -> None:
    """AMOS starts without its database, refuses callers it cannot know, and serves when it can know them."""
    installation = install(**settings(server.new_database()))
    await asyncio.to_thread(server.stop)
    try:
        await installation.amos.start()
        async with Load(installation.amos, 1) as early:
            await until(lambda: early.refused.total() > 20, RECOVERED_S, lambda: early.summary)
        await until(
            lambda: "the server cannot be reached" in fault(installation), RECOVERED_S, lambda: early.summary
        )
    finally:
        await asyncio.to_thread(server.start)
    async with Load(installation.amos, 2) as load:
        await load.answer_more(50)

    assert set(early.refused) == {503}
    assert await installation.settled(load) == []


def fault(installation: Installation) -> str:
    """What the recorder says keeps it from working."""
    status = read_status(installation.amos.data_dir)
    return status.fault if status else ""


async def test_the_server_stays_away(server: PostgresServer, install: Install) -> None:
    """While the database is gone calls are answered, the journal grows, and the recorder catches up."""
    installation = install(**settings(server.new_database()))
    await installation.amos.start()
    async with Load(installation.amos, 1) as load:
        await load.answer_more(20)
        await asyncio.to_thread(server.stop)
        try:
            await until(
                lambda: "the server cannot be reached" in fault(installation),
                RECOVERED_S,
                lambda: installation.amos.log,
            )
            await load.answer_more(200)
        finally:
            await asyncio.to_thread(server.start)
        await load.answer_more(20)

    assert await installation.settled(load) == []
    assert not load.refused


@pytest.mark.slow
async def test_a_table_is_locked(server: PostgresServer, install: Install) -> None:
    """While somebody holds the table calls are answered, and stored after they let go."""
    installation = install(**settings(server.new_database()))
    await installation.amos.start()
    async with Load(installation.amos, 1) as load:
        await load.answer_more(20)
        await until(
            lambda: stored_frames(installation.amos.database) > 0, RECOVERED_S, lambda: installation.amos.log
        )
        other = await asyncpg.connect(str(installation.amos.database))
        async with other.transaction():
            await other.execute("LOCK TABLE frames IN ACCESS EXCLUSIVE MODE")
            await asyncio.sleep(LOCKED_S)
            await load.answer_more(20)
            told = fault(installation)
        await other.close()

    assert "somebody else holds a lock" in told
    assert await installation.settled(load) == []
    assert not load.refused


@pytest.mark.parametrize("seed", SEEDS[:1] + MORE_SEEDS)
async def test_two_installations_share_a_database(
    server: PostgresServer, install: Install, seed: int
) -> None:
    """Two recorders fill one database while one of them dies and is stopped: each frame is there once."""
    chance = random.Random(seed)
    url = server.new_database()
    one, two = install(**settings(url)), install(**settings(url))
    await asyncio.gather(one.amos.start(), two.amos.start())
    async with Load(one.amos, seed) as load, Load(two.amos, seed + 1) as other:
        await load.answer_more(20)
        await asyncio.sleep(chance.uniform(0.1, 1.0))
        sys.stdout.write(f"seed {seed}: recorder killed after {len(load.answered)} answers\n")
        one.amos.signal("recorder", signal.SIGKILL)
        await other.answer_more(20)
        two.amos.signal("recorder", signal.SIGSTOP)
        await load.answer_more(50)
        two.amos.signal("recorder", signal.SIGCONT)
        await load.answer_more(20)
    assert await one.amos.stop() == 0

    assert await two.settled(load, other) == []
    assert not load.refused + other.refused
