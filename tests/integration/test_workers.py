"""Several workers on one socket: all ready, all asked, one death is one worker's, a stop loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import pytest_asyncio

from tests.support.processes import AmosProcesses, until
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORKERS = 2
CLIENTS = 16

STOOD_S = 0.2
"""So long a worker stands still while the others stop: before, up to six of the clients were cut off."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tavily() -> AsyncIterator[TavilySimulator]:
    """Tavily, simulated."""
    async with TavilySimulator() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def amos(tmp_path: Path, tavily: TavilySimulator) -> AsyncIterator[AmosProcesses]:
    """`amos serve` with two workers and a simulated Tavily; what they share is not asked for here."""
    tavily.clear()
    tavily.delay_s = 0.05
    settings = {
        "AMOS_WORKERS": str(WORKERS),
        "AMOS_REDIS_URL": "redis://127.0.0.1:1",
        "TAVILY_API_KEY": tavily.api_key,
        "AMOS_TAVILY_BASE_URL": tavily.base_url,
    }
    async with AmosProcesses(tmp_path / "var", settings) as running:
        yield running


class Load:
    """Clients that ask one new question after the other, each on one connection, until told to stop.

    `answered` are executions; `broken` is how often a connection broke under a question or before it.
    """

    def __init__(self, amos: AmosProcesses) -> None:
        self.answered: list[str] = []
        self.statuses: Counter[int] = Counter()
        self.broken = 0
        self._amos = amos
        self._is_over = False

    async def run(self) -> None:
        """Ask until `end`; a client whose connection cannot be made any more leaves."""
        await asyncio.gather(*(self._client(number) for number in range(CLIENTS)))

    def end(self) -> None:
        """Ask nothing more."""
        self._is_over = True

    async def _client(self, number: int) -> None:
        async with httpx.AsyncClient(base_url=self._amos.base_url, timeout=20.0, trust_env=False) as asking:
            for turn in range(10_000):
                if self._is_over:
                    return
                try:
                    answer = await asking.post("/search", json={"query": f"question {number} {turn}"})
                except httpx.ConnectError:
                    return
                except httpx.TransportError:
                    self.broken += 1
                    continue
                self.statuses[answer.status_code] += 1
                if answer.status_code == 200:
                    self.answered.append(answer.json()["amos"]["execution_id"])


def answered_in_sql(amos: AmosProcesses) -> set[str]:
    """The executions of which the database says that they were answered."""
    with contextlib.closing(sqlite3.connect(amos.database)) as connection:
        rows = connection.execute("SELECT stream FROM events WHERE type = 'amos.request.completed.v1'")
        return {stream for (stream,) in rows}


def instances_in_sql(amos: AmosProcesses) -> Counter[str]:
    """How many executions each worker has written."""
    with contextlib.closing(sqlite3.connect(amos.database)) as connection:
        rows = connection.execute(
            "SELECT instance, count(DISTINCT stream) FROM frames WHERE stream LIKE '0%' GROUP BY instance"
        )
        return Counter(dict(rows.fetchall()))


def workers_of(amos: AmosProcesses) -> list[int]:
    """The workers' processes."""
    return [pid for pid, role in amos.alive().items() if role == "worker"]


async def test_two_workers_and_one_recorder(amos: AmosProcesses):
    """When the server says that it is ready all its workers are; they share the calls and one recorder."""
    roles = Counter(amos.alive().values())
    load = Load(amos)
    running = asyncio.create_task(load.run())
    await until(lambda: len(load.answered) >= 200, 30.0, lambda: f"only {load.statuses}")
    load.end()
    await running
    assert await amos.stop() == 0

    assert roles == {"supervisor": 1, "worker": WORKERS, "recorder": 1}
    assert load.statuses.keys() == {200}
    assert load.broken == 0
    assert set(load.answered) <= answered_in_sql(amos)
    shares = instances_in_sql(amos)
    assert len(shares) == WORKERS
    # Sixteen connections that came at once: taken in turns, none of the workers is left out.
    assert min(shares.values()) > 0.05 * sum(shares.values())


async def test_a_killed_worker_takes_only_its_own_calls_with_it(amos: AmosProcesses):
    """`kill -9` of one worker under load breaks what was on it; the other answers, and a successor comes."""
    before = workers_of(amos)
    load = Load(amos)
    running = asyncio.create_task(load.run())
    await until(lambda: len(load.answered) >= 50, 20.0, lambda: f"only {load.statuses}")

    os.kill(before[0], signal.SIGKILL)
    await until(lambda: len(set(workers_of(amos)) - set(before)) == 1, 20.0, lambda: f"{amos.alive()}")
    count = len(load.answered)
    await until(lambda: len(load.answered) >= count + 200, 20.0, lambda: f"only {load.statuses}")
    load.end()
    await running
    status = await amos.stop()

    assert status == 0
    assert before[1] not in workers_of(amos)
    assert load.broken <= CLIENTS
    assert load.statuses.keys() == {200}
    assert set(load.answered) <= answered_in_sql(amos)
    assert amos.log.count("it is started again") == 1


async def test_a_stop_under_load_answers_all_it_has_taken(amos: AmosProcesses):
    """All workers are told at once: each finishes its calls, and nothing that was answered is lost."""
    load = Load(amos)
    running = asyncio.create_task(load.run())
    await until(lambda: len(load.answered) >= 100, 20.0, lambda: f"only {load.statuses}")

    status = await amos.stop()
    load.end()
    await running

    assert status == 0
    assert load.statuses.keys() == {200}
    # The kernel may have taken a connection in the moment in which the last worker stopped listening.
    assert load.broken <= 1
    assert set(load.answered) <= answered_in_sql(amos)
    assert not list(amos.journal.glob("*.seg"))
    assert "Traceback" not in amos.log


async def test_a_stop_while_a_worker_stands_still_cuts_nobody_off(amos: AmosProcesses):
    """What it holds it answers when it goes on; whoever comes meanwhile is refused at once and not kept."""
    load = Load(amos)
    running = asyncio.create_task(load.run())
    await until(lambda: len(load.answered) >= 50, 20.0, lambda: f"only {load.statuses}")

    late = workers_of(amos)[0]
    os.kill(late, signal.SIGSTOP)
    stopping = asyncio.create_task(amos.stop())
    await until(lambda: "AMOS is stopping" in amos.log, 20.0, lambda: amos.log)
    with pytest.raises(httpx.ConnectError):
        await asyncio.to_thread(httpx.get, f"{amos.base_url}/livez", timeout=STOOD_S * 10, trust_env=False)
    await asyncio.sleep(STOOD_S)
    os.kill(late, signal.SIGCONT)
    status = await stopping
    load.end()
    await running

    assert status == 0
    assert load.statuses.keys() == {200}
    assert load.broken == 0
    assert set(load.answered) <= answered_in_sql(amos)


async def test_more_than_one_worker_needs_redis(tmp_path: Path):
    """Without what they share limits would be wrong, so the start is refused in a sentence."""
    refused = AmosProcesses(tmp_path / "var", {"AMOS_WORKERS": "2"})
    status, output = await refused.command("serve")

    assert status != 0
    assert "AMOS_REDIS_URL" in output
    assert "Traceback" not in output
    assert not refused.alive()
