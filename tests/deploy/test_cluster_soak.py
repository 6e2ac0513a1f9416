"""The same, again and again: what a race would do once in a hundred stops is seen here."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from tests.support.cluster import SETTLED_S
from tests.support.deployment import Deployment
from tests.support.processes import until

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(900),
    pytest.mark.slow,
]

ROUNDS = 5


async def rolling_restarts(deployment: Deployment) -> None:
    """Every instance in turn is stopped and started again, several times over, under load."""
    async with deployment.load() as load:
        for _ in range(ROUNDS):
            for instance in deployment.cluster.instances:
                await load.answer_more(50)
                assert await instance.stop() == 0
                await load.answer_more(50)
                await instance.start()
    deployment.remember(load)

    assert (load.broken, load.refused) == (0, {})
    assert await deployment.unrecorded() == set()


async def test_rolling_restarts_behind_nginx(deployment: Deployment) -> None:
    """However often instances are restarted one by one, no request is lost."""
    await rolling_restarts(deployment)


async def test_rolling_restarts_behind_haproxy(haproxy_deployment: Deployment) -> None:
    """However often instances are restarted one by one, no request is lost."""
    await rolling_restarts(haproxy_deployment)


async def test_the_primary_valkey_hangs_again_and_again(deployment: Deployment) -> None:
    """A primary that answers nobody (SIGSTOP) is replaced, and the next one too: no caller sees an error."""
    stores = deployment.cluster.stores

    async with deployment.load() as load:
        for _ in range(ROUNDS):
            old = stores.primary()
            old.pause()
            await load.answer_more(100)
            await until(
                lambda old=old: stores.primary() is not old, SETTLED_S, lambda: stores.sentinels[0].log
            )
            old.resume()
            await load.answer_more(100)
            # A Sentinel lets the next failover wait for twice failover-timeout after the last.
            await asyncio.sleep(22.0)
    deployment.remember(load)

    assert (load.broken, load.refused) == (0, {})


async def test_postgres_crashes_again_and_again(deployment: Deployment) -> None:
    """PostgreSQL is killed while frames are written: everything answered is there once, when it is back."""
    postgres = deployment.cluster.stores.postgres

    async with deployment.load() as load:
        for _ in range(ROUNDS):
            await load.answer_more(100)
            await asyncio.to_thread(postgres.kill)
            await load.answer_more(50)
            await asyncio.to_thread(postgres.start)
    deployment.remember(load)

    assert (load.broken, load.refused) == (0, {})
    assert await deployment.unrecorded() == set()


async def test_workers_are_killed_again_and_again(deployment: Deployment) -> None:
    """Workers die at any moment: nginx asks another, everybody is answered, and it is recorded once."""
    async with deployment.load() as load:
        for number in range(4 * ROUNDS):
            await load.answer_more(50)
            os.kill(deployment.cluster.instances[number % 3].pid("worker"), signal.SIGKILL)
        await load.answer_more(100)
    deployment.remember(load)

    assert await deployment.unrecorded() == set()
    # An answer that had begun to leave cannot be asked for again.
    assert load.broken <= 2
    assert not load.refused
