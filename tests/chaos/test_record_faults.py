"""The list of faults of the record: on each engine, from several seeds; after each the record is whole.

    ./amos chaos tests/chaos/test_record_faults.py              # all of it, with a table at the end
    ./amos test tests/chaos/test_record_faults.py -k flipped    # one fault, with the one seed of every run

After the recovery nothing that was acknowledged is missing, nothing is there or counted twice, and every
table equals a fold of the frames; while it lasts the spans of every rollup add up to the same.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from storage.sql_engine import sqlite_url
from storage.sql_schema import upgrade_blocking
from tests.chaos import faults_of_contents, faults_of_databases, faults_of_journals, faults_of_recorders
from tests.chaos.conftest import OUTCOME
from tests.support.postgres import PostgresServer
from tests.support.recording import Recording

ENGINES = ("sqlite", "postgresql")

Fault = Callable[[Recording], Awaitable[None]]

FAULTS: tuple[Fault, ...] = (
    *faults_of_journals.FAULTS,
    *faults_of_databases.FAULTS,
    *faults_of_recorders.FAULTS,
    *faults_of_contents.FAULTS,
)


def fault_name(fault: Fault) -> str:
    """What a fault is called in names of tests and in the table."""
    return f"{fault.__module__.rpartition('_')[2]}.{fault.__name__}"


FACTORS = {1: 60.0, 101: 15.0, 102: 15.0, 103: 1.0}
"""By seed: how much shorter the waits of the list (locked 30 s, down 60 s) are made, and with them the
recorder's own waits for a lock and between attempts. 1 is real time."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of this module's own, because things happen to it; the files of its log are small."""
    running = PostgresServer(initdb=("--wal-segsize=1",))
    running.start()
    yield running
    running.close()


@pytest.fixture(scope="module")
def migrated(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Databases with the newest schema, of which copies are made in a moment."""
    url, path = server.new_database(), tmp_path_factory.mktemp("schema") / "amos.db"
    upgrade_blocking(url)
    upgrade_blocking(sqlite_url(path))
    return url, path


@pytest.fixture
async def record(
    server: PostgresServer, migrated: tuple[str, Path], tmp_path: Path, fault: Fault, kind: str, seed: int
) -> AsyncIterator[Recording]:
    """An empty record on an engine."""
    is_migrated = fault not in faults_of_recorders.ON_NOTHING
    if kind == "postgresql":
        url = server.new_database(migrated[0]) if is_migrated else server.new_database()
    else:
        path = tmp_path / "database" / "amos.db"
        path.parent.mkdir()
        if is_migrated:
            shutil.copy(migrated[1], path)
        url = sqlite_url(path)
    async with Recording(
        tmp_path,
        url,
        seed,
        factor=FACTORS[seed],
        rounds=1 if seed == 1 else 3,
        server=server if kind == "postgresql" else None,
    ) as recording:
        yield recording


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(seed, id=f"seed{seed}", marks=[pytest.mark.slow] if seed > 100 else [])
        for seed in FACTORS
    ],
)
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
@pytest.mark.parametrize("fault", FAULTS, ids=fault_name)
async def test_the_record_survives(
    record: Recording,
    fault: Fault,
    kind: str,
    seed: int,
    record_property: Callable[[str, object], None],
) -> None:
    """Whatever happens, verify says equal, nothing acknowledged is missing, nothing is counted twice."""
    record_property(OUTCOME, (fault_name(fault), kind, seed))
    await fault(record)
    findings = await record.settled()
    summary = f"{record.stored()} frames, {record.acknowledged} acknowledged, {record.looks} looks"
    sys.stdout.write(f"{summary}\n")

    assert findings == []


async def lose_a_frame(record: Recording) -> None:
    """A frame goes and nobody says so."""
    await record.written(30)
    await record.drain()
    await record.execute("DELETE FROM frames WHERE position = 5")


async def count_twice(record: Recording) -> None:
    """A count of one span is added once more."""
    await record.written(30)
    await record.drain()
    await record.execute("UPDATE rollup_health SET calls = calls + 1 WHERE span_s = 3600 AND generation = 1")
    await record.looked()


async def park_a_frame(record: Recording) -> None:
    """A frame is parked and counted all the same."""
    await record.written(30)
    await record.drain()
    await record.execute("INSERT INTO parked VALUES (1, 3, 'uncountable', 1)")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lose_a_frame, ("has a hole", "differs from a fold")),
        (count_twice, ("the spans of health differ", "rollup_health differs")),
        (park_a_frame, ("{0, 1} frames are parked, and 0 should be",)),
    ],
    ids=["lost", "doubled", "parked"],
)
@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("seed", [1])
async def test_what_is_wrong_is_found(record: Recording, fault: Fault, words: tuple[str, ...]) -> None:
    """The question that every fault of the list is asked can be answered with no."""
    await fault(record)

    findings = "; ".join(await record.settled())

    assert all(word in findings for word in words), findings
