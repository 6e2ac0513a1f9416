"""How much memory is in use and how much there may be: of the cgroup this process lives in, or of its own.

Linux only; elsewhere, and where nothing is limited, nothing is known. Page cache that the kernel takes back
by itself does not count as used. Files are read, which is quick but not free: not for the event loop.
"""

from __future__ import annotations

import ctypes
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

CGROUP_ROOT = Path("/sys/fs/cgroup")
"""Where cgroups are mounted, as systemd and every container runtime does it (file-hierarchy(7))."""

MEMBERSHIP = Path("/proc/self/cgroup")
"""Which cgroups this process is in (cgroups(7))."""

UNLIMITED_BYTES = 1 << 60
"""cgroup v1 says "no limit" with the largest multiple of a page in 63 bits; no machine has an exabyte."""

DIGITS_MAX = 20
"""The digits of the largest number in 64 bits."""


class Usage(NamedTuple):
    """`used_bytes` of `limit_bytes`, according to `source`: `cgroup v2`, `cgroup v1` or `process`."""

    used_bytes: int
    limit_bytes: int
    source: str

    @property
    def ratio(self) -> float:
        """The share in use; above 1 when the limit was lowered below it."""
        return self.used_bytes / self.limit_bytes


class MemoryPressure:
    """Looks at the cgroup and all that it is in, and at the process if `process_max_bytes` is not `None`."""

    def __init__(
        self,
        process_max_bytes: int | None = None,
        root: Path = CGROUP_ROOT,
        membership: Path = MEMBERSHIP,
    ) -> None:
        self._process_max_bytes = process_max_bytes
        self._root = root
        self._membership = membership

    def look(self) -> Usage | None:
        """The usage that is nearest to its limit; `None` where nothing is limited or can be read."""
        return max(self._usages(), key=lambda usage: usage.ratio, default=None)

    def _usages(self) -> Iterator[Usage]:
        used_bytes = own_bytes()
        if self._process_max_bytes is not None and used_bytes is not None:
            yield Usage(used_bytes, self._process_max_bytes, "process")
        for line in _read(self._membership).splitlines():
            hierarchy, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if hierarchy == "0" and not controllers:
                yield from _up(self._root, path, _v2)
            elif "memory" in controllers.split(","):
                yield from _up(self._root / "memory", path, _v1)


def own_bytes() -> int | None:
    """The memory of this process that is in RAM; `None` where nobody tells."""
    fields = _read(Path("/proc/self/statm")).split()
    return int(fields[1]) * resource.getpagesize() if len(fields) > 1 else None


def give_back() -> None:
    """Have the allocator give free memory back to the system, which it does not do by itself.

    Takes some 20 ms for 256 MB, in which nothing large can be allocated: not on the event loop. Does nothing
    where the C library has no such call.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _up(root: Path, path: str, read: Callable[[Path], Usage | None]) -> Iterator[Usage]:
    """The limited ones from the cgroup up to the root.

    In a container its own cgroup is mounted as the root, and the path may be one that only the host has.
    """
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for depth in range(len(parts), -1, -1):
        usage = read(root.joinpath(*parts[:depth]))
        if usage is not None:
            yield usage


def _v2(folder: Path) -> Usage | None:
    limits = (_number(folder / "memory.max"), _number(folder / "memory.high"))
    return _usage(folder, "memory.current", "inactive_file", limits, "cgroup v2")


def _v1(folder: Path) -> Usage | None:
    limits = (_number(folder / "memory.limit_in_bytes"),)
    return _usage(folder, "memory.usage_in_bytes", "total_inactive_file", limits, "cgroup v1")


def _usage(folder: Path, used: str, cached: str, limits: tuple[int | None, ...], source: str) -> Usage | None:
    """What the folder says; `None` if it limits nothing or cannot be read."""
    limit = min((one for one in limits if one is not None and 0 < one < UNLIMITED_BYTES), default=None)
    used_bytes = None if limit is None else _number(folder / used)
    if limit is None or used_bytes is None:
        return None
    cached_bytes = 0
    for line in _read(folder / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == cached:
            cached_bytes = _whole(value) or 0
    return Usage(max(0, used_bytes - cached_bytes), limit, source)


def _number(file: Path) -> int | None:
    return _whole(_read(file))


def _whole(text: str) -> int | None:
    """The whole number that the text is; `None` for `max`, and for anything else."""
    stripped = text.strip()
    is_number = stripped.isascii() and stripped.isdecimal() and len(stripped) <= DIGITS_MAX
    return int(stripped) if is_number else None


def _read(file: Path) -> str:
    """The text of a file of the kernel, `""` if it cannot be read."""
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
