"""SQL away, the recorder asleep or doubled, the journal or its disk full: serving goes on or says 503."""

from __future__ import annotations

import asyncio
import random
import resource
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from orchestrator import limits
from storage.file_segments import list_segments
from storage.file_status import read_status
from tests.chaos.conftest import Install
from tests.support.audit import stored_frames
from tests.support.installation import Installation
from tests.support.load import CLIENTS, Load
from tests.support.processes import AmosProcesses, until
from tests.support.seeds import MORE_SEEDS, SEEDS

LOCKED_S = 6.5
"""Longer than a recorder waits for the lock, so that its failure and its next attempt are seen."""

IN_HANDS_S = 1.0
"""Long enough for the recorder to have read what there is, too short for it to give up."""

RECOVERED_S = 10.0
"""How long it may take until calls are taken again."""

CALLS_TO_FILL = limits.JOURNAL_SEGMENT_BYTES // (limits.URLS_MAX * limits.URL_CHARS_MAX)
"""The texts of so many `large_calls` are as large as the smallest journal allowed; the events come on top."""


def is_tavily_error(body: Any) -> bool:
    """Whether a body is the envelope whose sentence Tavily's clients show."""
    return (
        isinstance(body, dict) and isinstance(body["detail"]["error"], str) and bool(body["detail"]["error"])
    )


async def readiness(installation: Installation) -> int:
    """The status of /readyz."""
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"{installation.amos.base_url}/readyz")).status_code


async def ready_again(installation: Installation) -> None:
    """Wait until /readyz says so. Raises TimeoutError."""
    for _ in range(int(RECOVERED_S / 0.1)):
        if await readiness(installation) == 200:
            return
        await asyncio.sleep(0.1)
    raise TimeoutError("AMOS did not become ready again")


async def large_calls(installation: Installation, count: int) -> AsyncIterator[httpx.Response]:
    """The answers to up to `count` extracts of many pages with long addresses, up to the first refusal."""
    padding = "x" * (limits.URL_CHARS_MAX - 100)
    async with httpx.AsyncClient(trust_env=False, timeout=30.0) as client:
        for number in range(count):
            urls = [f"https://harbour.example/{number}/{page}/{padding}" for page in range(limits.URLS_MAX)]
            answer = await client.post(f"{installation.amos.base_url}/extract", json={"urls": urls})
            yield answer
            if answer.status_code != 200:
                return


@pytest.mark.slow  # the suite has a locked database without load, in test_record_faults
async def test_the_database_is_locked(installation: Installation) -> None:
    """While another program holds the database's lock calls are answered, and stored after it lets go."""
    database = installation.amos.database
    async with Load(installation.amos, 1) as load:
        await load.answer_more(20)
        with closing(sqlite3.connect(database, isolation_level=None, timeout=5.0)) as other:
            other.execute("BEGIN EXCLUSIVE")
            stored = stored_frames(database)
            await asyncio.sleep(LOCKED_S)
            await load.answer_more(20)
            status = read_status(installation.amos.data_dir)
            assert stored_frames(database) == stored
            other.execute("ROLLBACK")
        await until(lambda: stored_frames(database) > stored, RECOVERED_S, lambda: installation.amos.log)

    assert status is not None
    assert "out of reach" in status.fault
    assert await installation.settled(load) == []
    assert not load.refused


@pytest.mark.slow  # the suite kills one between commit and deletion, in test_record_faults
async def test_the_recorder_dies_with_a_batch_in_its_hands(installation: Installation) -> None:
    """Frames of a dead worker that the recorder has read and not yet stored stay in the journal."""
    async with Load(installation.amos, 1) as load:
        await load.answer_more(20)
        with closing(sqlite3.connect(installation.amos.database, isolation_level=None, timeout=5.0)) as other:
            other.execute("BEGIN EXCLUSIVE")
            await load.answer_more(20)
            installation.amos.signal("worker", signal.SIGKILL)
            await asyncio.sleep(IN_HANDS_S)
            installation.amos.signal("recorder", signal.SIGKILL)
            other.execute("ROLLBACK")
        await load.answer_more(20)

    assert await installation.settled(load) == []
    assert not load.refused


async def test_the_recorder_sleeps(installation: Installation) -> None:
    """A recorder stopped for two seconds delays the record and nothing else."""
    async with Load(installation.amos, 1) as load:
        await load.answer_more(20)
        installation.amos.signal("recorder", signal.SIGSTOP)
        await asyncio.sleep(2.0)
        await load.answer_more(20)
        installation.amos.signal("recorder", signal.SIGCONT)
        await load.answer_more(20)

    assert await installation.settled(load) == []
    assert not load.refused


async def test_there_are_two_recorders(installation: Installation) -> None:
    """The second recorder of a data folder says whose it is and leaves; the first one goes on."""
    async with Load(installation.amos, 1) as load:
        await load.answer_more(20)
        first = installation.amos.pid("recorder")

        status, output = await installation.amos.command("recorder")

        await load.answer_more(20)

    assert status == 1
    assert "Another process records" in output
    assert "Traceback" not in output
    assert installation.amos.pid("recorder") == first
    assert await installation.settled(load) == []


async def test_two_servers_share_a_data_folder(installation: Installation) -> None:
    """The second server serves, the first one's recorder records them both, and nobody breaks down."""
    async with AmosProcesses(installation.amos.data_dir, installation.amos.settings) as second:
        async with Load(installation.amos, 1) as load, Load(second, 2) as other:
            await load.answer_more(20)
            await other.answer_more(20)
        assert await second.stop() == 0

        assert await installation.settled(load, other) == []

    assert second.log.count("Another recorder owns this data directory") == 1
    assert "started again" not in second.log
    assert "Traceback" not in second.log


async def test_the_journal_is_full(install: Install) -> None:
    """At its bound the journal refuses calls with 503 and unreadiness, until the recorder has drained it."""
    installation = install(AMOS_JOURNAL_MAX_BYTES=str(limits.JOURNAL_SEGMENT_BYTES))
    await installation.amos.start()
    async with Load(installation.amos, 1) as load:
        await load.answer_more(20)
        installation.amos.signal("recorder", signal.SIGSTOP)
        last = [answer async for answer in large_calls(installation, 2 * CALLS_TO_FILL)][-1]
        assert last.status_code == 503, "the journal has no bound"
        assert is_tavily_error(last.json())
        await until(lambda: bool(load.refused), RECOVERED_S, lambda: load.summary)
        assert await readiness(installation) == 503
    assert set(load.refused) == {503}
    assert is_tavily_error(load.bodies[503])

    # Nobody calls an instance that is not ready: it must recover without.
    installation.amos.signal("recorder", signal.SIGCONT)
    await ready_again(installation)
    async with Load(installation.amos, 2) as after:
        await after.answer_more(50)

    assert not after.refused
    assert await installation.settled(load, after) == []


@pytest.mark.slow  # the suite has the full journal
async def test_a_small_journal_is_drained(install: Install) -> None:
    """With its recorder at work the smallest journal allowed takes any amount of calls."""
    installation = install(AMOS_JOURNAL_MAX_BYTES=str(limits.JOURNAL_SEGMENT_BYTES))
    await installation.amos.start()

    statuses = [answer.status_code async for answer in large_calls(installation, CALLS_TO_FILL * 3 // 2)]

    assert set(statuses) == {200}
    assert await installation.settled() == []


@pytest.mark.parametrize("seed", SEEDS[:2] + MORE_SEEDS)
async def test_the_disk_is_full(installation: Installation, seed: int) -> None:
    """When the journal cannot grow calls get 503, no frame is torn, and all goes on when there is room."""
    room = random.Random(seed).randrange(1_000, 20_000)
    async with Load(installation.amos, seed) as load:
        await load.answer_more(100)
        worker = installation.amos.pid("worker")
        size = list_segments(installation.amos.journal)[-1].stat().st_size
        _, hard = resource.prlimit(worker, resource.RLIMIT_FSIZE)
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (size + room, hard))
        await until(lambda: load.refused[503] > 50, RECOVERED_S, lambda: load.summary)
        assert await readiness(installation) == 503
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (hard, hard))
        refused = load.refused.total()
        await load.answer_more(100)
        await ready_again(installation)

    assert set(load.refused) == {503}
    assert is_tavily_error(load.bodies[503])
    # Those that were under way when the limit went.
    assert load.refused.total() <= refused + CLIENTS
    assert "calls are refused: The journal cannot be written: File too large." in installation.amos.log
    assert "the journal can be written again" in installation.amos.log
    assert await installation.settled(load) == []
