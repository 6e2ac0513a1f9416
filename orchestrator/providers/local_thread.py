"""A thread with its own connection to the index: nothing is read, and no lock awaited, on the event loop."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from orchestrator.errors import ProviderUnavailable
from orchestrator.providers.local_database import is_damage
from orchestrator.providers.local_index import LocalIndex

ResultT = TypeVar("ResultT")


class IndexThread:
    """Runs one function after the other with the index. The thread and the connection begin with the first.

    Cancelling the wait for a function leaves it running to its end, and the connection to the next in line.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._index: LocalIndex | None = None
        self._is_closed = False

    async def run(self, function: Callable[[LocalIndex], ResultT]) -> ResultT:
        """What the function returns. On a damaged index it runs again, once, on a new and empty one.

        Raises ProviderUnavailable if the index can be neither used nor begun anew, or this thread is closed.
        """
        if self._is_closed:
            raise ProviderUnavailable("the local index is closed", provider="local", reason="closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, self._run, function)
        except (sqlite3.Error, OSError) as error:
            raise ProviderUnavailable(
                "the local index cannot be read or written", provider="local", reason="index_unavailable"
            ) from error

    async def aclose(self) -> None:
        """Wait for what is running, then disconnect. Safe to call twice."""
        if not self._is_closed:
            self._is_closed = True
            await asyncio.get_running_loop().run_in_executor(self._executor, self._close)
            self._executor.shutdown(wait=False)

    def _run(self, function: Callable[[LocalIndex], ResultT]) -> ResultT:
        try:
            return function(self._connected())
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
        if self._index is not None:
            self._index.set_aside()
        return function(self._connected())

    def _connected(self) -> LocalIndex:
        if self._index is None or not self._index.is_current():
            self._close()
            self._index = LocalIndex.open(self._path)
        return self._index

    def _close(self) -> None:
        index, self._index = self._index, None
        if index is not None:
            # Closing merges the write-ahead log; on a full disk it stays, and is merged by who opens the file
            # next.
            with suppress(sqlite3.Error):
                index.close()
