"""A bulkhead around one kind of work: so much of it is under way at once, and no more.

Work that nobody's rate limit counts, such as a look through the record, would else slow down all that does
count. Who finds no place waits for a short time, in the order of coming, and is then refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orchestrator.errors import Overloaded


class Bulkhead:
    """At most `places` at once; `refusal` tells those who waited `wait_s` in vain."""

    def __init__(self, places: int, *, wait_s: float, refusal: str) -> None:
        self._places = asyncio.Semaphore(places)
        self._wait_s = wait_s
        self._refusal = refusal

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place for as long as the context lasts. Raises Overloaded. Safe to cancel."""
        try:
            async with asyncio.timeout(self._wait_s):
                await self._places.acquire()
        except TimeoutError as crowded:
            raise Overloaded(self._refusal, retry_after_s=self._wait_s) from crowded
        try:
            yield
        finally:
            self._places.release()
