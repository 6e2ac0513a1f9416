"""The index: passages in SQLite's FTS5, ranked by BM25, and what is known of the files they come from.

Everything here blocks and belongs to one thread (local_thread.py). Several connections, of one process or
more, may use the file at once: writers take turns, readers never wait.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from orchestrator.limits import RAW_CONTENT_CHARS_MAX
from orchestrator.providers import local_database as database
from orchestrator.providers.local_documents import Passage
from orchestrator.providers.local_query import MATCH_END, MATCH_START, Query, spaced, unspaced

PASSAGES_PER_DOCUMENT = 2
"""chosen: in one answer, so that a long document on the subject leaves room for others."""

TITLE_WEIGHT = 4.0
"""chosen: a word in a heading says more about a passage than the same word within it."""

_PASSAGE_BITS = 16  # of a row id: which passage of its document; the bits above are the document's id

# Ranked before the texts are fetched: a common word matches many passages, and of those few are shown.
_RANKED = f"""
WITH hits AS MATERIALIZED (
    SELECT rowid AS id, bm25(passages, {TITLE_WEIGHT}, 1.0) AS cost FROM passages(?)
),
ranked AS (
    SELECT id, cost, row_number() OVER (PARTITION BY id >> {_PASSAGE_BITS} ORDER BY cost, id) AS place
    FROM hits
)
SELECT id, cost FROM ranked WHERE place <= {PASSAGES_PER_DOCUMENT} ORDER BY cost, id LIMIT ?
"""  # noqa: S608  - the figures are constants of this module

_SHOWN = f"""
SELECT title, highlight(passages, 1, '{MATCH_START}', '{MATCH_END}'), anchor FROM passages(?) WHERE rowid = ?
"""  # noqa: S608


class Known(NamedTuple):
    """A file as it was when it was last read. `skipped` is why it has no passages, `""` if it has."""

    id: int
    size: int
    mtime_ns: int
    skipped: str


class Entry(NamedTuple):
    """A file to be put in the place of whatever is known of it."""

    path: str
    size: int
    mtime_ns: int
    passages: tuple[Passage, ...]
    skipped: str = ""


class Hit(NamedTuple):
    """A passage found. `score` is 0..1 (see `search`); `marked` is its text with the words found marked."""

    path: str
    title: str
    anchor: str
    marked: str
    score: float
    document: str | None


class LocalIndex:
    """One connection to the index file."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._inode = path.stat().st_ino

    @classmethod
    def open(cls, path: Path) -> LocalIndex:
        """Connect, creating the file and its folder where needed. Raises sqlite3.Error, OSError."""
        with database.exclusive(path):
            return cls(path, database.open_or_renew(path))

    def close(self) -> None:
        """Disconnect. Safe to call twice."""
        self._connection.close()

    def is_current(self) -> bool:
        """Whether the file is still the one connected to; another process may have begun it anew."""
        try:
            return self._path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def set_aside(self) -> None:
        """Disconnect and take the damaged file out of the way, unless somebody else has done that already."""
        self.close()
        with database.exclusive(self._path):
            if self.is_current():
                database.set_aside(self._path)

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        self._connection.execute(begin)
        try:
            yield self._connection
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    # --- what is known --------------------------------------------------------------------------------------

    def known(self) -> dict[str, Known]:
        """Every file in the index, by its path."""
        rows = self._connection.execute("SELECT path, id, size, mtime_ns, skipped FROM documents")
        return {path: Known(*row) for path, *row in rows}

    def scanned_at(self, roots: Sequence[Path]) -> float | None:
        """When the last whole pass over just these folders ended, in epoch seconds; `None` if none did."""
        row = self._connection.execute("SELECT roots, finished_at FROM scans").fetchone()
        return row[1] if row and row[0] == _signature(roots) else None

    def finish_scan(self, roots: Sequence[Path], at: float) -> None:
        """Note that the index now holds just what is in these folders."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            connection.execute("DELETE FROM scans")
            connection.execute("INSERT INTO scans VALUES (?, ?)", (_signature(roots), at))

    def replace(self, entries: Iterable[Entry]) -> None:
        """Put the files in, each in place of its former self, all in one transaction."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            for entry in entries:
                _replace(connection, entry)

    def remove(self, ids: Iterable[int]) -> None:
        """Take documents out, all in one transaction."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            for document in ids:
                _delete_passages(connection, document)
                connection.execute("DELETE FROM documents WHERE id = ?", (document,))

    # --- what is found --------------------------------------------------------------------------------------

    def search(self, query: Query, limit: int, *, with_documents: bool) -> list[Hit]:
        """The best passages, at most `PASSAGES_PER_DOCUMENT` of one document.

        Passages with all the words come first and score above 0.5 up to 1; if they are too few, passages with
        any of the words follow, and score up to 0.5. Within each kind the score is relative to its best
        passage. `with_documents` adds the whole text of each document.
        """
        with self._transaction("BEGIN") as connection:  # one state of the index for all that follows
            choice = _Choice(connection, limit, with_documents=with_documents)
            choice.take(query.every, base=0.5)
            if query.some:
                choice.take(query.some, base=0.0)
            return choice.hits


class _Choice:
    """The hits of one search while they are gathered."""

    def __init__(self, connection: sqlite3.Connection, limit: int, *, with_documents: bool) -> None:
        self.hits: list[Hit] = []
        self._connection = connection
        self._limit = limit
        self._with_documents = with_documents
        self._rows: set[int] = set()
        self._addresses: set[tuple[int, str]] = set()
        self._per_document: Counter[int] = Counter()

    def take(self, expression: str, base: float) -> None:
        """Add what the expression finds, up to the limit; scores lie above `base`, at most 0.5 above."""
        if len(self.hits) >= self._limit:
            return
        # Twice the limit, because two parts of one section share an address and only the better is shown.
        wanted = self._limit * PASSAGES_PER_DOCUMENT + len(self._rows)
        ranked = self._connection.execute(_RANKED, (expression, wanted)).fetchall()
        # FTS5 gives the better passage the lower, always negative, figure.
        fresh = [(row, -cost) for row, cost in ranked if row not in self._rows]
        best = max((weight for _, weight in fresh), default=1.0)
        for row, weight in fresh:
            if len(self.hits) < self._limit:
                self._add(expression, row, base + 0.5 * weight / best)

    def _add(self, expression: str, row: int, score: float) -> None:
        document = row >> _PASSAGE_BITS
        title, marked, anchor = self._connection.execute(_SHOWN, (expression, row)).fetchone()
        is_crowded = self._per_document[document] >= PASSAGES_PER_DOCUMENT
        if is_crowded or (document, anchor) in self._addresses:
            return
        (path,) = self._connection.execute("SELECT path FROM documents WHERE id = ?", (document,)).fetchone()
        text = _document(self._connection, document) if self._with_documents else None
        self._rows.add(row)
        self._addresses.add((document, anchor))
        self._per_document[document] += 1
        self.hits.append(Hit(path, unspaced(title), anchor, unspaced(marked), score, text))


def _document(connection: sqlite3.Connection, document: int) -> str:
    """The text of a document, put together from its passages; cut at `RAW_CONTENT_CHARS_MAX`."""
    first, last = _rows_of(document)
    parts: list[str] = []
    size = 0
    above = ("", "")
    for heading, anchor, body in connection.execute(
        "SELECT heading, anchor, body FROM passages WHERE rowid BETWEEN ? AND ? ORDER BY rowid", (first, last)
    ):
        if heading and (heading, anchor) != above:  # a section cut in parts has its heading once
            parts.append(heading)
        parts.append(unspaced(body))
        above = (heading, anchor)
        size += len(body)
        if size > RAW_CONTENT_CHARS_MAX:
            break
    return "\n\n".join(parts)[:RAW_CONTENT_CHARS_MAX]


def _replace(connection: sqlite3.Connection, entry: Entry) -> None:
    (document,) = connection.execute(
        "INSERT INTO documents(path, size, mtime_ns, skipped) VALUES (?, ?, ?, ?) ON CONFLICT(path) DO UPDATE"
        " SET size = excluded.size, mtime_ns = excluded.mtime_ns, skipped = excluded.skipped RETURNING id",
        (entry.path, entry.size, entry.mtime_ns, entry.skipped),
    ).fetchone()
    _delete_passages(connection, document)
    first, _ = _rows_of(document)
    connection.executemany(
        "INSERT INTO passages(rowid, title, body, heading, anchor) VALUES (?, ?, ?, ?, ?)",
        (
            (row, spaced(passage.title), spaced(passage.body), passage.heading, passage.anchor)
            for row, passage in enumerate(entry.passages, first)
        ),
    )


def _delete_passages(connection: sqlite3.Connection, document: int) -> None:
    connection.execute("DELETE FROM passages WHERE rowid BETWEEN ? AND ?", _rows_of(document))


def _rows_of(document: int) -> tuple[int, int]:
    return document << _PASSAGE_BITS, ((document + 1) << _PASSAGE_BITS) - 1


def _signature(roots: Sequence[Path]) -> str:
    return json.dumps(sorted(map(str, roots)))
