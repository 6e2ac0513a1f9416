"""The documents within the configured folders, and nothing outside them.

Links are followed only if what they lead to lies within one of the folders too; hidden files and folders are
passed over; nothing but a regular file is ever opened.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from orchestrator.errors import SettingsError
from orchestrator.providers.local_documents import SUFFIXES, Unreadable

FILE_BYTES_MAX = 10_485_760
"""chosen: the one-page manual of a large product; the same as the largest answer of a web provider."""

FILES_MAX = 100_000
"""chosen: about 2 GB of index; a larger collection wants a search server of its own."""

NOT_CONTENT = frozenset({"node_modules", "__pycache__"})
"""Folders of machines, beside the hidden ones (`.git`, `.venv`), that hold other people's documents."""

OUTSIDE = "a link to outside the folders"
_TOO_LARGE = f"larger than {FILE_BYTES_MAX} bytes"


class File(NamedTuple):
    """A document as found: `path` is its name for people, `real` is what is opened. Times in nanoseconds."""

    path: str
    real: str
    size: int
    mtime_ns: int


class Skipped(NamedTuple):
    """What was not indexed, and why."""

    path: str
    reason: str


class Listing(NamedTuple):
    """All documents, in the order of names within a folder, and what was passed over, with the reason."""

    files: list[File]
    skipped: list[Skipped]


def resolve(paths: Sequence[Path | str]) -> tuple[Path, ...]:
    """The real paths of the configured folders and files.

    Raises SettingsError naming every one that cannot be used.
    """
    faults = [] if paths else ["no folder is given"]
    roots: list[Path] = []
    for path in paths:
        real = Path(path).expanduser().resolve()
        if not real.exists():
            faults.append(f"{path} does not exist")
        elif not real.is_dir() and not (real.is_file() and real.suffix.lower() in SUFFIXES):
            faults.append(f"{path} is neither a folder nor a file of {' '.join(sorted(SUFFIXES))}")
        elif real not in roots:
            roots.append(real)
    if faults:
        raise SettingsError(f"local documents: {'; '.join(faults)}")
    return tuple(roots)


def is_within(path: str, roots: Sequence[Path]) -> bool:
    """Whether a path (resolved already) is one of the roots or lies below one."""
    return any(path == str(root) or path.startswith(f"{str(root).rstrip('/')}/") for root in roots)


def find(roots: Sequence[Path], is_stopped: Callable[[], bool] = lambda: False) -> Listing:
    """List every document below the roots, each real file once. Blocks; never raises for what it finds."""
    return _Walk(roots, is_stopped).run()


class _Walk:
    """One pass over the roots. Links come last, so that a document reached both ways keeps its own name."""

    def __init__(self, roots: Sequence[Path], is_stopped: Callable[[], bool]) -> None:
        self._roots = roots
        self._is_stopped = is_stopped
        self._seen: set[str] = set()
        self._links: list[str] = []
        self._folders: list[tuple[str, str]] = []
        self._listing = Listing([], [])

    def run(self) -> Listing:
        for root in map(str, self._roots):
            try:
                self._take(root, root, Path(root).stat().st_mode)
            except OSError as error:
                self._skip(root, _reason(error))
        while (self._folders or self._links) and not self._is_stopped():
            if len(self._listing.files) >= FILES_MAX:
                self._skip(str(self._roots[0]), f"more than {FILES_MAX} documents; the rest is not indexed")
                break
            if self._folders:
                self._enter(*self._folders.pop())
            else:
                self._follow(self._links.pop())
        return self._listing

    def _skip(self, path: str, reason: str) -> None:
        # A name that is not valid UTF-8 is shown with escapes: the report must be printable.
        self._listing.skipped.append(Skipped(os.fsencode(path).decode("utf-8", "backslashreplace"), reason))

    def _enter(self, path: str, real: str) -> None:
        try:
            with os.scandir(real) as scan:
                entries = sorted(scan, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            self._skip(path, _reason(error))
            return
        for entry in reversed(entries):
            if entry.name.startswith(".") or entry.name in NOT_CONTENT:
                continue
            shown = f"{path.rstrip('/')}/{entry.name}"
            if entry.is_symlink():
                self._links.append(shown)
            elif entry.is_dir(follow_symlinks=False):
                self._take(shown, entry.path, stat.S_IFDIR)
            elif Path(entry.name).suffix.lower() in SUFFIXES:
                self._take(shown, entry.path, stat.S_IFREG)

    def _follow(self, path: str) -> None:
        try:
            real = os.path.realpath(path, strict=True)
            mode = Path(real).stat().st_mode
        except OSError:
            return  # a link to nothing, or to itself
        names = (Path(path).suffix.lower(), Path(real).suffix.lower())
        if not stat.S_ISDIR(mode) and not SUFFIXES.issuperset(names):
            return
        if is_within(real, self._roots):
            self._take(path, real, mode)
        else:
            self._skip(path, OUTSIDE)

    def _take(self, path: str, real: str, mode: int) -> None:
        if real in self._seen:
            return
        self._seen.add(real)
        if stat.S_ISDIR(mode):
            self._folders.append((path, real))
            return
        try:
            status = os.lstat(real)
            path.encode()
        except OSError as error:
            self._skip(path, _reason(error))
        except UnicodeEncodeError:
            self._skip(path, "a name that is not UTF-8")
        else:
            reason = _refusal(status)
            if reason:
                self._skip(path, reason)
            else:
                self._listing.files.append(File(path, real, status.st_size, status.st_mtime_ns))


def read(file: File) -> bytes:
    """The bytes of a document. Raises Unreadable if it is not, or no longer, a file that may be read."""
    try:
        # NONBLOCK: opening a pipe that took the file's place must not wait for a writer.
        descriptor = os.open(file.real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            reason = _refusal(os.fstat(descriptor))
            data = b"" if reason else stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise Unreadable(_reason(error)) from error
    if reason or len(data) > FILE_BYTES_MAX:
        raise Unreadable(reason or _TOO_LARGE)
    return data


def _refusal(status: os.stat_result) -> str:
    """Why a thing of this kind and size is not read, `""` if it is."""
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    return _TOO_LARGE if status.st_size > FILE_BYTES_MAX else ""


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
