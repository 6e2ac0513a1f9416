"""Finds the addresses of names by the system's own resolver, without ever waiting long for it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections import OrderedDict

RESOLVE_S = 1.0
"""chosen: a resolver that takes longer is ill; a page is worth waiting for no more than that."""

LOOKUPS_MAX = 16
"""chosen: lookups under way at once, each in a thread; what comes beyond is not looked up."""

KEPT_S = 30.0
"""chosen: pages of one host come in groups; a rebound name is believed no longer than this."""

NAMES_MAX = 1_000
"""chosen: names kept at once; 100 KB."""


class SystemNames:
    """The system's resolver (`getaddrinfo`), with a deadline and a short memory.

    Its threads are daemons: a resolver that hangs holds up no end of the process.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[float, tuple[str, ...]]] = OrderedDict()
        self._under_way = 0

    async def addresses(self, host: str) -> tuple[str, ...]:
        """All addresses of the host; none if it has none or nobody said so within `RESOLVE_S`."""
        loop = asyncio.get_running_loop()
        until, known = self._known.get(host, (0.0, ()))
        if loop.time() < until:
            return known
        if self._under_way >= LOOKUPS_MAX:
            return ()
        answer: asyncio.Future[tuple[str, ...]] = loop.create_future()
        self._under_way += 1
        threading.Thread(target=self._look_up, args=(host, loop, answer), daemon=True).start()
        found: tuple[str, ...] = ()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RESOLVE_S):
                found = await asyncio.shield(answer)
        self._known[host] = (loop.time() + KEPT_S, found)
        self._known.move_to_end(host)
        if len(self._known) > NAMES_MAX:
            self._known.popitem(last=False)
        return found

    def _look_up(
        self, host: str, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[tuple[str, ...]]
    ) -> None:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
        except (OSError, UnicodeError):
            addresses = ()
        with contextlib.suppress(RuntimeError):  # the loop has ended before the resolver answered
            loop.call_soon_threadsafe(self._done, answer, addresses)

    def _done(self, answer: asyncio.Future[tuple[str, ...]], addresses: tuple[str, ...]) -> None:
        self._under_way -= 1
        answer.set_result(addresses)
