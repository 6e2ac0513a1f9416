"""A disk that fails on order under a journal, and what became of the frames."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from contextlib import contextmanager

import msgspec

from storage.file_segments import list_segments, read_segment
from tests.support.histories import NOON, hit, numbered

EVENTS = numbered(hit())


def append(journal, stream="e-1", texts=None):
    """One frame of a hit."""
    return journal.append(stream, NOON, EVENTS, texts or {})


def frames(directory):
    """Everything on disk, decoded: (number, stream)."""
    payloads = [record.payload for path in list_segments(directory) for record in read_segment(path)]
    decoded = [msgspec.json.decode(payload) for payload in payloads]
    return [(frame["instance_seq"], frame["stream"]) for frame in decoded]


class Disk:
    """A disk that does what it is told: the first fault in `faults` decides over each write."""

    def __init__(self, *faults):
        self.faults = list(faults)
        self.writes = 0

    def write(self, fd, data):
        """Write all, some (an int) or nothing (an error)."""
        self.writes += 1
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, OSError):
            raise fault
        return os.write(fd, data if fault is None else data[:fault])


@contextmanager
def file_size_limit(size):
    """No file of this process may grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


async def outcomes(waiters):
    """Who was told what: `None` for durable, else the error."""
    return await asyncio.gather(*waiters, return_exceptions=True)
