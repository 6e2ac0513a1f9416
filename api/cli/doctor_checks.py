"""What `amos doctor` looks at. Each check looks, changes nothing, and says what it found and what helps."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import time
from typing import TYPE_CHECKING

from api.cli.doctor_finding import FAILURE, OK, WARNING, Finding
from api.probes import traces_health
from api.quantities import size
from orchestrator import limits
from orchestrator.errors import EventLogUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

    from storage.file_status import RecorderStatus
    from storage.sql_address import Address

SQLITE_OLDEST = (3, 35, 0)
"""chosen: RETURNING, which the recorder uses, came with SQLite 3.35 (2021-03-12)."""

DISK_FREE_BYTES_MIN = 100_000_000
"""chosen: with less than this the next busy hour may fill the disk."""

JOURNAL_FULL_RATIO = 0.5
"""chosen: a journal that is half full has more than a passing stall behind it."""


def check_data_dir(path: Path) -> Finding:
    """Whether the data folder can be written, or made."""
    if path.is_dir():
        if os.access(path, os.R_OK | os.W_OK | os.X_OK):
            return Finding(name="data folder", status=OK, detail=f"{path} is writable")
        detail = f"{path} cannot be written by this user"
    elif path.exists():
        detail = f"{path} is not a folder"
    elif os.access(nearest_existing(path), os.W_OK | os.X_OK):
        return Finding(name="data folder", status=OK, detail=f"{path} will be made by the first use")
    else:
        detail = f"{path} does not exist and cannot be made by this user"
    return Finding(
        name="data folder", status=FAILURE, detail=detail, next_step="Set AMOS_DATA_DIR to a folder of yours."
    )


def check_disk(path: Path, journal_max_bytes: int) -> Finding:
    """Whether the disk can take what the journal may grow to."""
    free = shutil.disk_usage(nearest_existing(path)).free
    detail = f"{size(free)} free"
    if free < DISK_FREE_BYTES_MIN:
        return Finding(
            name="disk", status=FAILURE, detail=detail, next_step="Make room: events cannot be recorded soon."
        )
    if free < journal_max_bytes:
        return Finding(
            name="disk",
            status=WARNING,
            detail=f"{detail}, less than the journal may grow to ({size(journal_max_bytes)})",
            next_step="Make room, or lower AMOS_JOURNAL_MAX_BYTES.",
        )
    return Finding(name="disk", status=OK, detail=detail)


def nearest_existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next((candidate for candidate in (path, *path.parents) if candidate.exists()), path)


def check_sqlite() -> Finding:
    """Whether this Python's SQLite is new enough and has the full-text index of the local provider."""
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < SQLITE_OLDEST:
        wanted = ".".join(map(str, SQLITE_OLDEST))
        return Finding(
            name="SQLite", status=FAILURE, detail=f"{version} is older than {wanted}", next_step=_NEWER_PYTHON
        )
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE VIRTUAL TABLE probe USING fts5(text)")
    except sqlite3.OperationalError:
        return Finding(
            name="SQLite",
            status=WARNING,
            detail=f"{version} without FTS5: no local search",
            next_step=_NEWER_PYTHON,
        )
    finally:
        connection.close()
    return Finding(name="SQLite", status=OK, detail=f"{version} with FTS5")


_NEWER_PYTHON = "Use a Python with a newer SQLite: AMOS_PYTHON=/path/to/python ./amos doctor"


def check_journal(folder: Path, backlog_bytes: int, bytes_max: int) -> Finding:
    """Whether the journal can be written and has room; without it no call is answered."""
    used = f"{size(backlog_bytes)} of {size(bytes_max)} are in use"
    if folder.exists() and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return Finding(
            name="journal",
            status=FAILURE,
            detail=f"{folder} cannot be written by this user",
            effect=_REFUSED,
            next_step=f"Give it to the user that runs AMOS: `chown -R USER {folder}`.",
        )
    if backlog_bytes >= bytes_max:
        return Finding(name="journal", status=FAILURE, detail=used, effect=_REFUSED, next_step=_DRAIN)
    if backlog_bytes > bytes_max * JOURNAL_FULL_RATIO:
        return Finding(name="journal", status=WARNING, detail=used, next_step=_DRAIN)
    return Finding(name="journal", status=OK, detail=used)


_REFUSED = "No call is answered (503): an answer that cannot be recorded is not given."

_DRAIN = (
    "Only the recorder empties it: see `recorder` and `database`; `amos recorder` runs one and says why not."
)


def check_recorder(
    status: RecorderStatus | None,
    now: float,
    *,
    is_running: bool,
    backlog_bytes: int,
    backlog_bytes_max: int,
) -> Finding:
    """Whether somebody brings the journal into the database, and what it last said of itself.

    Without a recorder a waiting journal is no loss: the next command or server start drains it. What one that
    has ended said of itself may be mended since. One that is silent at `now` (epoch seconds) stands still.
    """
    waiting = f"{size(backlog_bytes)} in the journal"
    if is_running and status is not None and status.fault:
        step = "Look at the log of the server or of `amos recorder`; the journal keeps what is recorded."
        return Finding(
            name="recorder",
            status=FAILURE,
            since=status.since,
            detail=f"{status.fault} ({waiting})",
            next_step=step,
        )
    if is_running and status is not None and now - status.at > limits.REPORTS_LAG_S_MAX:
        return Finding(
            name="recorder",
            status=WARNING,
            since=status.at,
            detail=f"it is there and says nothing, {waiting}",
            next_step=f"Its process is stopped or stuck: `ps -o stat,wchan {status.pid}`. End it, and "
            "`amos serve` starts another.",
        )
    if is_running and backlog_bytes > backlog_bytes_max * JOURNAL_FULL_RATIO:
        step = "Look at the server's log: the database may be slow or out of reach."
        return Finding(name="recorder", status=WARNING, detail=f"running, but {waiting}", next_step=step)
    if is_running:
        return Finding(name="recorder", status=OK, detail=f"running, {waiting}")
    if backlog_bytes:
        return Finding(
            name="recorder",
            status=WARNING,
            since=status.at if status is not None else 0.0,
            detail=f"not running, {waiting}",
            next_step="`amos recorder` or `amos serve` brings it into the database.",
        )
    return Finding(name="recorder", status=OK, detail="not running, nothing waits in the journal")


def check_traces(data_dir: Path, *, is_running: bool) -> Finding:
    """What `/health` says of the export of traces. Nothing depends on it, so it is never a failure."""
    if not is_running:
        return Finding(name="traces", status=OK, detail="exported when a recorder runs")
    now = time.time()
    health = traces_health(data_dir, now, now)
    status = OK if health.status == "ok" else WARNING
    return Finding(name="traces", status=status, detail=health.detail, next_step=health.advice)


def check_reports(status: RecorderStatus | None, *, is_running: bool, behind: int, now: float) -> Finding:
    """Whether the reports have counted everything the database holds.

    `behind` counts the frames not in the reports. A running recorder may well be a few frames behind; the age
    of its last success (at `now`, epoch seconds) tells whether it is stuck.
    """
    if behind and (not is_running or status is None or status.lag_s(now) > limits.REPORTS_LAG_S_MAX):
        return Finding(
            name="reports",
            status=WARNING,
            detail=f"{behind} recorded frames are not counted yet",
            next_step="`amos report hit-rate` or a running recorder counts them.",
        )
    if status and status.parked:
        return Finding(
            name="reports",
            status=WARNING,
            detail=f"{status.parked} frames hold something that cannot be counted and are parked",
            next_step="`amos events verify` names them.",
        )
    if status and status.unknown:
        return Finding(
            name="reports",
            status=WARNING,
            detail=f"{status.unknown} events are of types this version does not know and were passed over",
            next_step="A newer AMOS recorded them: bring this one up to date, then `amos events replay`.",
        )
    return Finding(name="reports", status=OK, detail="all that is in the database is counted")


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock file, as a recorder does its data folder's."""
    try:
        with path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def check_lock(path: Path) -> list[Finding]:
    """Whether a SQLite file could be written now; tries for a moment, and writes nothing."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=LOCK_S)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()
    except sqlite3.Error as error:
        return [
            Finding(
                name="database",
                status=FAILURE,
                detail=f"{path} cannot be written: {error}",
                next_step=f"`fuser -v {path}` shows who has it open. {_DISK_OR_LOCK}",
            )
        ]
    finally:
        connection.close()
    return []


LOCK_S = 1.0
"""chosen: AMOS itself holds the lock for some milliseconds; who has it for longer is stuck."""

_DISK_OR_LOCK = "End who holds its lock; if it is read-only or full, mend its folder or disk."

_MEND_FILE = "If the file is damaged, move it away: what the journal holds is brought into a new one."
_MEND_SERVER = (
    "Look at AMOS_DATABASE_URL, the server and its log; the journal keeps what is recorded meanwhile."
)


async def check_database(address: Address, current: Awaitable[str | None], newest: str) -> Finding:
    """Whether the database can be read and has the tables this version works with.

    `current` gives its revision, `None` when it has none.
    """
    path, shown = address.path, address.shown
    try:
        found = await current
    except EventLogUnavailable as error:
        step = _MEND_FILE if path else _MEND_SERVER
        return Finding(name="database", status=FAILURE, detail=f"{shown}: {error.message}", next_step=step)
    if found is None and path is None:
        return Finding(name="database", status=OK, detail=f"{shown} gets its tables by the first use")
    if found is None and path and not path.exists():
        return Finding(name="database", status=OK, detail=f"{shown} will be made by the first use")
    if found == newest:
        return Finding(name="database", status=OK, detail=f"{shown}, schema {found}")
    return Finding(
        name="database",
        status=FAILURE,
        detail=f"{shown} has schema {found or 'of no version of AMOS'}, this version needs {newest}",
        next_step="`amos db upgrade` brings it up to date.",
    )
