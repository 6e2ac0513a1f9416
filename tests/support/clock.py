"""Time for tests: a clock that is moved by hand, and an event loop in which waiting takes no time.

`FakeClock` is for what asks only the Clock port. What uses asyncio's own timers (deadlines, timeouts,
flights) runs on a `VirtualTimeLoop`: whenever nothing is ready to run, its time jumps to the next timer. A
test that "waits" nine seconds is over at once, and exact to the microsecond. The conftest.py of
tests/unit/orchestrator chooses the loop; `LoopClock` is the Clock that agrees with it.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

EPOCH = 1_800_000_000.0
"""A moment of the wall clock, in 2027: tests begin there."""

UPTIME_S = 1_000.0
"""What monotonic clocks show when a test begins."""


class FakeClock:
    """A Clock that stands still until it is moved. Sleeping moves it, and returns at once."""

    def __init__(self, *, now: float = EPOCH, monotonic: float = UPTIME_S) -> None:
        self._now = now
        self._monotonic = monotonic
        self.slept: list[float] = []
        """Every sleep so far, in seconds."""

    def now(self) -> float:
        """The wall clock."""
        return self._now

    def monotonic(self) -> float:
        """The clock that never goes back."""
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Move the time on and let others run."""
        self.slept.append(seconds)
        self.advance(max(0.0, seconds))
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
        self._monotonic += seconds


class LoopClock:
    """A Clock over the running event loop: with a `VirtualTimeLoop` its waits take no time."""

    def now(self) -> float:
        """The wall clock, which keeps pace with the loop."""
        return EPOCH + self.monotonic() - UPTIME_S

    def monotonic(self) -> float:
        """The loop's time."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait in the loop's time."""
        await asyncio.sleep(seconds)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still while anything runs, and jumps when everything waits.

    Not for tests with real connections: their peers live in real time.
    """

    def __init__(self) -> None:
        self._moment = UPTIME_S
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """The virtual time, in seconds."""
        return self._moment

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._moment += seconds


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for nothing: if no file is ready, the wait is over and the loop's time has moved on by it."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        """Ready files; with a timeout at once, without one (a thread is waited for) when there are some."""
        if timeout is None:
            return super().select(None)
        ready = super().select(0)
        if not ready and timeout > 0:
            self._loop.advance(timeout)
        return ready
