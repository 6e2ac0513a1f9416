"""The index file: made, recognised, and begun anew when it cannot be used.

All that is in it can be read from the documents again. So a file that is damaged, or of another version, is
set aside and an empty one takes its place; only a database of another program is never touched.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.errors import SettingsError

VERSION = 1
"""Of the schema below and of everything that decides what a document's passages are; raise it with either."""

APPLICATION_ID = 0x414D4F53
"""SQLite's `application_id`: "AMOS" in ASCII, so that no other program's database is taken for an index."""

BUSY_S = 5.0
"""chosen: how long a connection waits for another's transaction; below the deadline of a search."""

_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE documents(
    id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    skipped TEXT NOT NULL
);
CREATE TABLE scans(roots TEXT NOT NULL, finished_at REAL NOT NULL);
CREATE VIRTUAL TABLE passages USING fts5(
    title, body, heading UNINDEXED, anchor UNINDEXED,
    tokenize="porter unicode61 remove_diacritics 2 categories 'L* N* Co Mn Mc'"
);
PRAGMA user_version = {VERSION};
COMMIT;
"""


def refuse_foreign(path: Path) -> None:
    """Raise SettingsError if the path is a database of another program."""
    if not path.exists():
        return
    # Through SQLite and not by reading the header: closing a file drops the locks this process holds on it.
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError:
        return  # damaged, or busy being created: opening it decides
    finally:
        connection.close()
    if tables and application != APPLICATION_ID:
        raise SettingsError(f"local index: {path} is a database of another program")


def is_damage(error: BaseException) -> bool:
    """Whether an error of SQLite says that the file itself is not sound, or not of this version."""
    code = getattr(error, "sqlite_errorcode", None)
    # The lower eight bits are the primary code; the others say where the damage was found.
    return isinstance(error, _OtherVersion) or (
        code is not None and code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
    )


class _OtherVersion(sqlite3.DatabaseError):
    """The file was made by an AMOS with another `VERSION`."""


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """One process and one thread at a time decides whether the file is sound; held for milliseconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def open_or_renew(path: Path) -> sqlite3.Connection:
    """Connect to a sound index of this version, whatever the path held before; call it within `exclusive`.

    Raises sqlite3.Error, OSError.
    """
    try:
        return _connect(path)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
    set_aside(path)
    return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    """Connect and make sure of the schema.

    Raises sqlite3.DatabaseError if the file is damaged or of another version.
    """
    with suppress(FileExistsError):
        # The passages of private documents are for the owner; the files SQLite puts beside it copy its mode.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    # Closing happens in the thread that opened it, except when that one is gone.
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        is_new = _is_new(connection)
        if is_new:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA journal_mode = WAL")
        # A power loss may then cost the last transactions, never the file.
        connection.execute("PRAGMA synchronous = NORMAL")
        if is_new:
            connection.executescript(_SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection


def _is_new(connection: sqlite3.Connection) -> bool:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if tables and application != APPLICATION_ID:
        # Not taken for damage: it stays where it is (`refuse_foreign` could not look, or it came later).
        raise sqlite3.DatabaseError("a database of another program")
    if tables and version != VERSION:
        raise _OtherVersion(f"version {version}")
    return bool(version != VERSION)


def set_aside(path: Path) -> None:
    """Keep the file under another name, in case it was no index after all; only the last one is kept."""
    path.replace(path.with_name(f"{path.name}.damaged"))
    for beside in ("-wal", "-shm"):
        path.with_name(path.name + beside).unlink(missing_ok=True)
