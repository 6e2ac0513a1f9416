"""Tests of how fast something is, on machines that now and then stand still."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

LOOK_S = 0.01
TRIES = 3

T = TypeVar("T")


class Stillness:
    """How long at most this process has stood still; `longest_s` in seconds.

    A thread of its own looks: a held up event loop, which would be a fault of ours, does not hold it up.
    """

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._is_over = threading.Event()

    @contextlib.contextmanager
    def watched(self) -> Iterator[Stillness]:
        """Look for as long as this lasts."""
        looking = threading.Thread(target=self._look)
        looking.start()
        try:
            yield self
        finally:
            self._is_over.set()
            looking.join()

    def _look(self) -> None:
        looked_at = time.monotonic()
        while not self._is_over.wait(LOOK_S):
            now = time.monotonic()
            self.longest_s = max(self.longest_s, now - looked_at - LOOK_S)
            looked_at = now


async def undisturbed(attempt: Callable[[int], Awaitable[T]], still_s: float) -> T:
    """What the attempt brings; it is given its number, from 0.

    One that fails while this process stood still for `still_s` or longer says nothing, and is made again;
    the last of `TRIES` counts whatever happened. Raises AssertionError as the attempt does.
    """
    for number in range(TRIES):
        with Stillness().watched() as still:
            try:
                return await attempt(number)
            except AssertionError:
                if number == TRIES - 1 or still.longest_s < still_s:
                    raise
    raise AssertionError("an attempt has neither ended well nor failed")
