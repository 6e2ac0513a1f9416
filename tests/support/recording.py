"""A data folder, a database, writers and recorders for one fault; `settled` recovers and says what is wrong.

While it is open a reader looks again and again whether the spans of every rollup add up to the same: counts
are never seen half added.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import pytest
from sqlalchemy import text

from orchestrator.errors import EventLogUnavailable
from orchestrator.events import Frame, RequestCompleted
from storage import recorder_process, sql_postgres, sql_sqlite
from storage.codec import decode_events
from storage.file_segments import DAMAGED_SUFFIX, list_segments
from storage.file_status import RecorderStatus, read_status
from storage.recorder_process import RecorderLoop
from storage.sql_engine import open_engine, transaction
from storage.sql_rebuild import Verdict, verify
from storage.sql_schema import current
from storage.sql_tables import rollups
from tests.support.audit import audit
from tests.support.database import NoTable, query
from tests.support.postgres import PostgresServer
from tests.support.processes import until
from tests.support.recording_process import STATUS_S, Fate, start_recorder, start_replay, start_writer, told
from tests.support.seeded_writer import SeededWriter

LOOK_S = 0.01
"""Between two looks of the reader."""

SPANS = """
WITH live AS (SELECT * FROM {table} WHERE generation = (SELECT generation FROM projection_state))
SELECT 1 AS part, span_s, {sums} FROM live
WHERE span_s > 0 AND start >= (SELECT coalesce(max(kept_from), 0) FROM compactions) GROUP BY span_s
UNION ALL
SELECT 2 AS part, span_s, {sums} FROM live WHERE span_s IN (0, 86400) GROUP BY span_s
"""
"""The sums of a rollup by span, at one moment: of what no compaction has taken, and of all there ever was."""

RECOVERED_S = 40.0
"""How long anything may take that has nothing in its way any more."""


class Recording:
    """One record under one fault. Use it with `async with`.

    A fault that destroys frames says so with `destroy`; it counts up itself how many segments must be set
    aside (`damaged`) and how many frames `parked`. By `factor` its waits are shorter than those of the list;
    what happens again and again happens in so many `rounds`.
    """

    def __init__(
        self, folder: Path, url: str, seed: int, *, factor: float, rounds: int, server: PostgresServer | None
    ):
        self.chance = random.Random(seed)
        self.seed = seed
        self.url = url
        self.factor = factor
        self.rounds = rounds
        self.server = server
        self.folder = folder / "machine1"
        self.folders = [self.folder]
        self.damaged = 0
        self.parked = 0
        self.acknowledged = 0
        self.looks = 0
        self._home = folder
        self._destroyed: list[Frame] = []
        self._answered: set[str] = set()
        self._intended: set[str] = set()
        self._writers: list[SeededWriter] = []
        self._processes: list[tuple[ForkServerProcess, Path, str]] = []
        self._findings: list[str] = []
        self._patch = pytest.MonkeyPatch()
        self._watching: asyncio.Task[None] | None = None
        self.folder.mkdir(parents=True)

    async def __aenter__(self) -> Self:
        self._patch.setattr(recorder_process, "STATUS_S", STATUS_S)
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything that is left."""
        self._patch.undo()
        for process, *_ in self._processes:
            await kill(process)
        for writer in self._writers:
            await writer.aclose()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    @property
    def database(self) -> Path | str:
        """What to ask with bare drivers."""
        return self.url if self.server else Path(self.url.partition(":///")[2])

    def journal(self, folder: Path | None = None) -> Path:
        """Where the segments are."""
        return (folder or self.folder) / "journal"

    def another_folder(self) -> Path:
        """The data folder of a further machine."""
        self.folders.append(self._home / f"machine{len(self.folders) + 1}")
        self.folders[-1].mkdir()
        return self.folders[-1]

    def writer(self, folder: Path | None = None) -> SeededWriter:
        """A further writer, in this process."""
        name = f"w{len(self._writers) + 1}"
        self._writers.append(SeededWriter(folder or self.folder, name, self.seed))
        return self._writers[-1]

    async def written(self, count: int, folder: Path | None = None) -> SeededWriter:
        """A writer that has written so many calls and has ended."""
        writer = self.writer(folder)
        await writer.calls(count)
        await writer.aclose()
        return writer

    def writer_process(self, folder: Path | None = None, fate: Fate | None = None) -> ForkServerProcess:
        """A writer that goes on until it dies."""
        folder = folder or self.folder
        name = f"p{len(self._processes) + 1}"
        process = start_writer(folder, name, self.seed, fate)
        self._processes.append((process, folder, name))
        return process

    def recorder_process(self, folder: Path | None = None, fate: Fate | None = None) -> ForkServerProcess:
        """A recorder that goes on until it dies or is told to stop."""
        folder = folder or self.folder
        process = start_recorder(folder, self.url, fate)
        self._processes.append((process, folder, ""))
        return process

    def replay_process(self, fate: Fate | None = None) -> ForkServerProcess:
        """Somebody who counts all frames again and replaces the figures by what comes out."""
        process = start_replay(self.url, fate)
        self._processes.append((process, self.folder, ""))
        return process

    async def drain(self, folder: Path | None = None, url: str = "") -> RecorderStatus:
        """A recorder comes, takes over what there is, and goes. Raises EventLogUnavailable."""
        folder = folder or self.folder
        async with RecorderLoop(folder, url or self.url) as recorder:
            await recorder.drain()
        return self.status(folder)

    @asynccontextmanager
    async def recorder(self, folder: Path | None = None, url: str = "") -> AsyncIterator[None]:
        """A recorder at work in this process, ended in good order."""
        stop = asyncio.Event()
        async with RecorderLoop(folder or self.folder, url or self.url) as recorder:
            running = asyncio.create_task(recorder.run(stop))
            try:
                yield
            finally:
                stop.set()
                await running

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """Every wait of recorders that begin now is shorter by the factor."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sql_sqlite, "BUSY_TIMEOUT_MS", round(sql_sqlite.BUSY_TIMEOUT_MS / self.factor))
            patch.setattr(sql_postgres, "LOCK_TIMEOUT_S", sql_postgres.LOCK_TIMEOUT_S / self.factor)
            patch.setattr(recorder_process, "RETRY_S_MAX", recorder_process.RETRY_S_MAX / self.factor)
            patch.setattr(recorder_process, "BUSY_S", recorder_process.BUSY_S / self.factor)
            yield

    def status(self, folder: Path | None = None) -> RecorderStatus:
        """What the recorder last said of itself."""
        status = read_status(folder or self.folder)
        assert status is not None, "no recorder was ever there"
        return status

    async def execute(self, statement: str) -> None:
        """Change the database behind everybody's back."""
        engine = open_engine(self.url, writer=True)
        async with transaction(engine) as connection:
            await connection.execute(text(statement))
        await engine.dispose()

    async def looked(self) -> None:
        """Wait until the reader has looked at every rollup since now. Raises TimeoutError."""
        enough = self.looks + 2 * len(rollups)
        await until(lambda: self.looks > enough or bool(self._findings), RECOVERED_S, lambda: "no look")

    def stored(self) -> int:
        """How many frames are in SQL."""
        with suppress(NoTable):
            return int(query(self.database, "SELECT count(*) AS n FROM frames")[0]["n"])
        return 0

    async def until_stored(self, count: int) -> None:
        """Wait until so many frames are in SQL. Raises TimeoutError."""
        await until(lambda: self.stored() >= count, RECOVERED_S, lambda: f"{self.stored()} of {count} frames")

    async def until_revision(self, revision: str | None) -> None:
        """Wait until the schema is of this revision. Raises TimeoutError."""
        deadline = time.monotonic() + RECOVERED_S
        while await current(self.url) != revision:
            if time.monotonic() > deadline:
                raise TimeoutError("the schema is still an old one")
            await asyncio.sleep(LOOK_S)

    async def until_fault(self, words: str = "") -> None:
        """Wait until the recorder says that something keeps it from working. Raises TimeoutError."""

        def told_so() -> bool:
            status = read_status(self.folder)
            return status is not None and bool(status.fault) and words in status.fault

        await until(told_so, RECOVERED_S, lambda: f"no fault, but {read_status(self.folder)}")

    async def until_idle(self) -> None:
        """Wait until every frame that is in the journal is counted. Raises TimeoutError."""
        begun_at = time.time()

        def drained() -> bool:
            status = read_status(self.folder)
            return status is not None and status.drained_at > begun_at

        await until(drained, RECOVERED_S, lambda: f"not drained: {read_status(self.folder)}")

    def destroy(self, payload: bytes) -> None:
        """A frame that its writer was told is durable, and that this test takes away."""
        frame = msgspec.json.decode(payload)
        envelopes = decode_events(msgspec.json.encode(frame["events"]).decode())
        whole = {**frame, "events": envelopes}
        self._destroyed.append(Frame(**whole))

    async def settled(self) -> list[str]:
        """Recover, and say everything that is wrong then; nothing if all is well."""
        for process, folder, name in self._processes:
            await kill(process)
            if name:
                answered, intended = told(folder, name)
                self._answered |= answered
                self._intended |= intended
        for writer in self._writers:
            await writer.aclose()
            self._answered |= writer.answered
            self._intended |= writer.intended
        for folder in self.folders:
            await self.drain(folder)
        self._forget_destroyed()
        self.acknowledged = len(self._answered) + len(self._intended)
        verdict = await verify(self.url, lambda *_: None)
        return [
            *audit(self.database, self._answered, self._intended, self._destroyed),
            *self._left_over(),
            *self._faults_of(verdict),
            *self._findings,
            *([] if self.acknowledged else ["nothing was acknowledged at all"]),
        ]

    def _forget_destroyed(self) -> None:
        for frame in self._destroyed:
            for envelope in frame.events:
                self._intended.discard(getattr(envelope.event, "span_id", ""))
                if isinstance(envelope.event, RequestCompleted):
                    self._answered.discard(frame.stream)

    def _left_over(self) -> Iterator[str]:
        for folder in self.folders:
            if left := list_segments(self.journal(folder)):
                yield f"the journal still holds {[path.name for path in left]}"
        aside = [path for one in self.folders for path in self.journal(one).glob(f"*{DAMAGED_SUFFIX}")]
        if len(aside) != self.damaged:
            yield f"{len(aside)} segments are set aside, and {self.damaged} were damaged"

    def _faults_of(self, verdict: Verdict) -> Iterator[str]:
        """What `amos events verify` found, apart from the holes that this test has made."""
        if verdict.differences:
            yield f"verify names {verdict.differences} rows: {verdict.differing[:3]}"
        if verdict.doubled:
            yield f"verify names executions with two ends: {verdict.doubled}"
        live = "SELECT count(*) FROM parked WHERE generation = (SELECT generation FROM projection_state)"
        parked = {verdict.parked_frames, self._rows(live)[0][0]}
        if parked != {self.parked}:
            yield f"{parked} frames are parked, and {self.parked} should be"
        missing = {(hole.instance, n) for hole in verdict.holes for n in range(hole.first, hole.last + 1)}
        last = dict(self._rows("SELECT instance, max(instance_seq) AS n FROM frames GROUP BY instance"))
        lost = {(one.instance, one.instance_seq) for one in self._destroyed}
        # That the last frames of a series are missing no number can tell.
        if missing != {(instance, n) for instance, n in lost if n < last.get(instance, 0)}:
            yield f"verify names the missing frames {sorted(missing)}, and {sorted(lost)} are"

    def _rows(self, statement: str) -> list[Any]:
        return [tuple(row.values()) for row in query(self.database, statement)]

    async def _watch(self) -> None:
        async with AsyncExitStack() as cleanup:
            engine = open_engine(self.url)
            cleanup.push_async_callback(engine.dispose)
            while True:
                for rollup, table in rollups:
                    sums = ", ".join(f"sum({name})" for name in rollup.measures)
                    statement = text(SPANS.format(sums=sums, table=table.name))
                    await asyncio.sleep(LOOK_S)
                    with suppress(EventLogUnavailable, OSError):
                        async with transaction(engine) as connection:
                            found = [tuple(row) for row in await connection.execute(statement)]
                        self.looks += bool(found)
                        if any(len({row[2:] for row in found if row[0] == part}) > 1 for part in (1, 2)):
                            self._findings.append(f"the spans of {rollup.name} differ: {found}")
                            return


async def kill(process: ForkServerProcess) -> None:
    """SIGKILL, and wait for its end."""
    process.kill()
    await ended(process)


async def stop(process: ForkServerProcess) -> None:
    """SIGTERM, and wait for its end in good order."""
    if process.pid is not None and process.is_alive():
        process.terminate()
    await ended(process)


async def ended(process: ForkServerProcess) -> int:
    """Wait for its end; its exit status, negative for a signal. Raises TimeoutError."""
    await until(lambda: not process.is_alive(), RECOVERED_S, lambda: "a process does not end")
    return process.exitcode or 0


def was_killed(process: ForkServerProcess) -> bool:
    """Whether it met its fate."""
    return process.exitcode == -signal.SIGKILL
