"""Brings the index up to date with the folders: what is new or changed is read, what is gone is removed.

A file counts as unchanged if its size and time of change are those it was last read with. No file can make a
pass fail: one that cannot be read is skipped with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from orchestrator.providers import local_files as files
from orchestrator.providers.local_documents import (
    HTML,
    MARKDOWN,
    Passage,
    Unreadable,
    decode,
    read_markdown,
    read_rst,
    read_text,
)
from orchestrator.providers.local_files import File, Skipped
from orchestrator.providers.local_html import read_html
from orchestrator.providers.local_index import Entry, Known, LocalIndex

BATCH_FILES = 100
"""measured: one transaction a file makes a first pass twice as long; 100 files of 10 KB are held for a
moment."""

BATCH_CHARS = 4_194_304
"""chosen: text held in memory before it is written."""

Progress = Callable[[int, int, str], None]
"""Told after each file: how many are read, how many there are to read, and which one it was."""


class IndexReport(NamedTuple):
    """What a pass did, in numbers of documents, and each file it had to leave out."""

    added: int
    updated: int
    removed: int
    unchanged: int
    skipped: tuple[Skipped, ...]


def scan(
    index: LocalIndex,
    roots: Sequence[Path],
    now: Callable[[], float],
    *,
    is_stopped: Callable[[], bool] = lambda: False,
    progress: Progress = lambda *_: None,
) -> IndexReport:
    """One pass. Blocks; a pass that is stopped leaves what it has done so far and is not noted as finished.

    Raises sqlite3.Error if the index cannot be written.
    """
    listing = files.find(roots, is_stopped)
    work = _Pass(index, index.known(), listing, progress)
    work.run(is_stopped)
    if not is_stopped():
        work.remove_gone()
        index.finish_scan(roots, now())
    return work.report()


class _Pass:
    """The state of one pass: what was found, what is still to be written, what was done."""

    def __init__(
        self, index: LocalIndex, known: dict[str, Known], listing: files.Listing, progress: Progress
    ) -> None:
        self._index = index
        self._known = known
        self._listing = listing
        self._progress = progress
        self._skipped = list(listing.skipped)
        self._batch: list[Entry] = []
        self._batch_chars = 0
        self._added = self._updated = self._removed = self._unchanged = 0
        self._unreadable: set[str] = set()

    def run(self, is_stopped: Callable[[], bool]) -> None:
        """Read what is new or changed, and write it in batches."""
        changed = [file for file in self._listing.files if not self._is_unchanged(file)]
        for count, file in enumerate(changed, 1):
            if is_stopped():
                break
            self._take(file)
            self._progress(count, len(changed), file.path)
        self._write()

    def _is_unchanged(self, file: File) -> bool:
        known = self._known.get(file.path)
        if known is None or (known.size, known.mtime_ns) != (file.size, file.mtime_ns):
            return False
        if known.skipped:
            self._skipped.append(Skipped(file.path, known.skipped))
        else:
            self._unchanged += 1
        return True

    def _take(self, file: File) -> None:
        try:
            data = files.read(file)
        except Unreadable as error:
            # Not kept as known: what was wrong (a permission, say) may change without the file's time
            # changing.
            self._skipped.append(Skipped(file.path, str(error)))
            self._unreadable.add(file.path)
            return
        try:
            entry = Entry(file.path, file.size, file.mtime_ns, read_document(file.path, data))
        except Unreadable as error:
            entry = Entry(file.path, file.size, file.mtime_ns, (), str(error))
            self._skipped.append(Skipped(file.path, str(error)))
        self._count(entry)
        self._batch.append(entry)
        self._batch_chars += sum(len(passage.body) for passage in entry.passages)
        if len(self._batch) >= BATCH_FILES or self._batch_chars >= BATCH_CHARS:
            self._write()

    def _count(self, entry: Entry) -> None:
        known = self._known.get(entry.path)
        was_indexed = known is not None and not known.skipped
        if entry.skipped:
            self._removed += was_indexed
        elif was_indexed:
            self._updated += 1
        else:
            self._added += 1

    def _write(self) -> None:
        if self._batch:
            self._index.replace(self._batch)
        self._batch = []
        self._batch_chars = 0

    def remove_gone(self) -> None:
        """Take out what this pass did not find, or found unreadable."""
        present = {file.path for file in self._listing.files} - self._unreadable
        gone = [known for path, known in self._known.items() if path not in present]
        for begin in range(0, len(gone), BATCH_FILES):
            self._index.remove(known.id for known in gone[begin : begin + BATCH_FILES])
        self._removed += sum(not known.skipped for known in gone)

    def report(self) -> IndexReport:
        """What was done."""
        skipped = tuple(sorted(self._skipped))
        return IndexReport(self._added, self._updated, self._removed, self._unchanged, skipped)


def read_document(path: str, data: bytes) -> tuple[Passage, ...]:
    """The passages of a file, by its suffix. Raises Unreadable."""
    suffix = PurePath(path).suffix.lower()
    text = decode(data)
    if suffix in HTML:
        return read_html(path, text)
    if suffix in MARKDOWN:
        return read_markdown(path, text)
    return read_rst(path, text) if suffix == ".rst" else read_text(path, text)
