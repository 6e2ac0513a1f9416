"""A stranger's coroutine, driven step by step: each step is timed, and one that will not end is closed.

A coroutine holds the event loop from one `await` to the next, and nobody else runs meanwhile. asyncio does
not say who it was; here every step is taken by hand, so it is known. `LoopWatch` is for the step that never
ends: nothing on the loop could tell, so a thread writes down who holds it, and where.

Seen is what the coroutine itself does. Tasks and threads it starts are its own.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")

STUCK_S = 5.0
"""chosen: a step that holds the loop this long is written down while it does. Health checks of balancers give
up after 2 to 10 s, and then somebody wants to know why."""

_log = logging.getLogger("amos.providers")


class Stepped(Generic[T]):
    """Awaits a coroutine and tells `watch` when each of its steps begins and ends.

    `give_up` must be followed by a cancellation of the awaiting task: the coroutine is then closed instead of
    being told, so that one which swallows cancellations ends all the same. SystemExit becomes a RuntimeError:
    a coroutine does not end the process.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], watch: LoopWatch) -> None:
        self._coroutine = coroutine
        self._watch = watch
        self._is_given_up = False

    def give_up(self) -> None:
        """Close the coroutine at the next cancellation."""
        self._is_given_up = True

    def __await__(self) -> Generator[Any, Any, T]:
        failure: BaseException | None = None
        while True:
            self._watch.entered()
            try:
                awaited = self._step(failure)
            except StopIteration as end:
                value: T = end.value
                return value
            finally:
                self._watch.left()
            try:
                yield awaited
            except GeneratorExit:
                self._close()
                raise
            except BaseException as error:  # a cancellation above all, and it is passed on
                if self._is_given_up:
                    self._close()
                    raise
                failure = error
            else:
                failure = None

    def _step(self, failure: BaseException | None) -> Any:
        try:
            return self._coroutine.send(None) if failure is None else self._coroutine.throw(failure)
        except SystemExit as error:
            raise RuntimeError("it wanted to end the process") from error

    def _close(self) -> None:
        """End the coroutine; one that goes on all the same is left where it stands, and never run again."""
        try:
            self._coroutine.close()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's cleaning up may raise anything
            _log.warning("a provider's coroutine could not be closed", exc_info=error)


class LoopWatch:
    """Tells `held` how many seconds each step held the loop, and the log of one that lasts `stuck_s`.

    `entered` and `left` are called around each step, on the loop. A thread of its own looks on from the first
    step until `end`; it writes once for each step who holds the loop, and where.
    """

    def __init__(self, provider: str, held: Callable[[float], None], stuck_s: float = STUCK_S) -> None:
        self._provider = provider
        self._held = held
        self._stuck_s = stuck_s
        self._thread_id = 0
        self._since: float | None = None
        self._watcher: threading.Thread | None = None
        self._ended = threading.Event()

    def entered(self) -> None:
        """A step begins."""
        if self._watcher is None and not self._ended.is_set():
            self._watcher = threading.Thread(
                target=self._watch, name=f"watching {self._provider}", daemon=True
            )
            self._watcher.start()
        self._thread_id = threading.get_ident()
        self._since = time.perf_counter()

    def left(self) -> None:
        """The step is over."""
        since, self._since = self._since, None
        if since is not None:
            self._held(time.perf_counter() - since)

    def end(self) -> None:
        """Look on no longer. Safe to call twice."""
        self._ended.set()

    def _watch(self) -> None:
        told: float | None = None
        while not self._ended.wait(self._stuck_s / 2):
            since = self._since
            if since is None or since == told or time.perf_counter() - since < self._stuck_s:
                continue
            told = since
            frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001 - documented, in spite of its name
            stack = "".join(traceback.format_stack(frame)) if frame is not None else "unknown\n"
            _log.error(
                "the provider %s has held the event loop for %.1f s, and nobody else runs meanwhile; "
                "it is here:\n%s",
                self._provider,
                time.perf_counter() - since,
                stack.rstrip(),
            )
