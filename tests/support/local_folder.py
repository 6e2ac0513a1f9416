"""The provider `local` over real folders, with a clock that is moved by hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from orchestrator.model import Found, SearchAnswer, SearchRequest
from orchestrator.providers.local import Local
from tests.support.calls import make_call


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def now(self) -> float:
        """The moment it was moved to."""
        return self.seconds

    def monotonic(self) -> float:
        """The same moment."""
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        """Move on at once."""
        self.seconds += seconds


def write(path: Path, content: str | bytes, *, mtime_s: float = 1_000.0) -> Path:
    """Write a document with a time of change of our choice: the disk's own may be too coarse."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    os.utime(path, (mtime_s, mtime_s))
    return path


async def ask(local: Local, query: str, **fields: Any) -> Found[SearchAnswer]:
    """Search with these fields of the request."""
    return await local.search(make_call(SearchRequest(query=query, **fields)))


async def found_files(local: Local, query: str, **fields: Any) -> list[str]:
    """The names of the files that were found, best first."""
    answer = (await ask(local, query, **fields)).answer
    return [result.url.partition("#")[0].rpartition("/")[2] for result in answer.results]
