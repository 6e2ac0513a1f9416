"""How a provider behaves in a process that others use too: many at once, called off, closed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

from orchestrator.errors import ProviderThrottled
from orchestrator.model import SearchRequest
from orchestrator.ports import Provider
from orchestrator.providers.conformance.subject import (
    GRACE_S,
    Check,
    Failed,
    Skipped,
    Subject,
    described,
    is_ours,
)

AT_ONCE = 10
"""chosen: more than most clients' pools have by mistake."""

BLOCKED_S = 0.05
"""chosen: what a caller of anybody else would notice."""

LOOKS = 3
"""A busy machine makes one look late, a provider that blocks makes all of them."""

HASTE_S = (0.001, 0.003, 0.01)
"""chosen: calls are cancelled after so many seconds: while they connect, or wait for the answer."""

SETTLING_S = 1.0
"""chosen: what is closed may take some turns of the loop to be gone."""

LOOK_S = 0.02
"""chosen: some turns of the loop."""

_SOCKETS = Path("/proc/self/fd")

T = TypeVar("T")


async def _concurrency(subject: Subject) -> None:
    await subject.plain_answer()
    ends = await asyncio.gather(
        *(
            subject.search(subject.provider, SearchRequest(query=f"{subject.query} {n}", max_results=1))
            for n in range(AT_ONCE)
        )
    )
    errors = [end.error for end in ends if end.error is not None]
    if not all(end.is_over for end in ends):
        raise Failed(f"Of {AT_ONCE} calls at once not all have ended.")
    for error in errors:
        if not is_ours(error):
            raise Failed(f"One of {AT_ONCE} calls at once raised {described(error)}.")
    if any(isinstance(error, ProviderThrottled) for error in errors):
        raise Skipped("The upstream asks us to slow down.")
    if errors:
        raise Failed(f"{len(errors)} of {AT_ONCE} calls at once failed, one with {described(errors[0])}.")


async def _deadline(subject: Subject) -> None:
    await subject.plain_answer()
    ends = [
        await subject.search(
            subject.provider,
            SearchRequest(query=subject.query),
            cancelled_after_s=after_s,
            deadline_s=after_s,
        )
        for after_s in HASTE_S
    ]
    cancelled = [end for end in ends if end.was_cancelled]
    if not cancelled:
        raise Skipped("It answered before it could be cancelled.")
    if not all(end.is_over for end in cancelled):
        raise Failed(f"It went on for {GRACE_S:.0f} s after it was cancelled.")
    for end in cancelled:
        if end.error is None:
            raise Failed("It was cancelled, and answered all the same.")
        if not isinstance(end.error, asyncio.CancelledError):
            raise Failed(f"When it was cancelled it raised {described(end.error)}.")


async def _release(subject: Subject) -> None:
    await subject.plain_answer()
    tasks, sockets = asyncio.all_tasks(), _sockets()
    provider = subject.make()
    for after_s in HASTE_S:
        end = await subject.search(provider, SearchRequest(query=subject.query), cancelled_after_s=after_s)
        if not end.is_over:
            raise Skipped("A cancelled call did not end: see `deadline`.")
    is_left = await _settled(lambda: asyncio.all_tasks() - tasks)
    await subject.end_of(provider.aclose)
    if is_left:
        raise Failed("A task that it started goes on after its call was cancelled.")
    left = await _settled(lambda: max(0, _sockets() - sockets))
    if left:
        raise Failed(f"After the cancelled calls and closing {left} connections are still open.")


async def _loop(subject: Subject) -> None:
    await subject.plain_answer()
    held = []
    for _ in range(LOOKS):
        subject.held_s = 0.0
        async with _heartbeat() as late:
            await subject.search(subject.provider, SearchRequest(query=subject.query))
        held.append(max(subject.held_s, *late))
    if min(held) > BLOCKED_S:
        raise Failed(f"It held the event loop for {min(held) * 1000:.0f} ms or more in each call.")


@contextlib.asynccontextmanager
async def _heartbeat() -> AsyncIterator[list[float]]:
    """Look every few milliseconds; a list of how late each look was, also where a task of it blocks."""
    late = [0.0, 0.0]

    async def beat() -> None:
        while True:
            due = time.perf_counter() + 0.005
            await asyncio.sleep(0.005)
            late.append(time.perf_counter() - due)

    beating = asyncio.ensure_future(beat())
    try:
        yield late
        await asyncio.sleep(0.006)
    finally:
        beating.cancel()
        await asyncio.wait({beating})


async def _tasks(subject: Subject) -> None:
    await subject.plain_answer()
    tasks = asyncio.all_tasks()
    async with _made(subject) as provider:
        end = await subject.search(provider, SearchRequest(query=subject.query))
    if not is_ours(end.error):
        raise Skipped("It did not answer.")
    if left := await _settled(lambda: asyncio.all_tasks() - tasks):
        names = ", ".join(sorted(task.get_name() for task in left))
        raise Failed(f"After it was closed tasks go on: {names}.")


async def _closing(subject: Subject) -> None:
    await subject.plain_answer()
    sockets = _sockets()
    unused, used = subject.make(), subject.make()
    await subject.search(used, SearchRequest(query=subject.query))
    for provider in (unused, used):
        for which in ("It could not be closed", "It could not be closed a second time"):
            end = await subject.end_of(provider.aclose)
            if not end.is_over:
                raise Failed(f"{which}: that did not end.")
            if end.error is not None:
                raise Failed(f"{which}: {described(end.error)}.")
    if left := await _settled(lambda: max(0, _sockets() - sockets)):
        raise Failed(f"After it was closed {left} connections are still open.")


@contextlib.asynccontextmanager
async def _made(subject: Subject) -> AsyncIterator[Provider]:
    """A provider of the check's own, closed at its end."""
    provider: Provider = subject.make()
    try:
        yield provider
    finally:
        await subject.end_of(provider.aclose)


async def _settled(left: Callable[[], T]) -> T:
    """What is left after some time, as soon as it is nothing."""
    for _ in range(round(SETTLING_S / LOOK_S)):
        if not (found := left()):
            return found
        await asyncio.sleep(LOOK_S)
    return left()


def _sockets() -> int:
    """How many sockets this process has open; 0 where the system does not tell."""
    count = 0
    with contextlib.suppress(OSError):
        for entry in _SOCKETS.iterdir():
            with contextlib.suppress(OSError):
                count += str(entry.readlink()).startswith("socket:")
    return count


CHECKS = (
    Check(
        name="concurrency",
        rule=f"{AT_ONCE} calls at once are all answered.",
        advice="Keep nothing of a call in the provider; let a limit wait, not fail.",
        look=_concurrency,
        asks=AT_ONCE,
    ),
    Check(
        name="deadline",
        rule="A cancelled call ends at once.",
        advice="Do not catch CancelledError, or raise it again; shield nothing from it.",
        look=_deadline,
        asks=len(HASTE_S),
    ),
    Check(
        name="release",
        rule="A cancelled call leaves no task and no connection behind.",
        advice="End the tasks you started, and close what you opened, in `finally` or with `async with`.",
        look=_release,
        asks=len(HASTE_S),
    ),
    Check(
        name="loop",
        rule=f"It never holds the event loop for more than {BLOCKED_S * 1000:.0f} ms.",
        advice="Use an asynchronous client; put what must block into asyncio.to_thread.",
        look=_loop,
        asks=LOOKS,
    ),
    Check(
        name="tasks",
        rule="No task goes on after it was closed.",
        advice="Keep the tasks you start; cancel them in aclose and wait for them.",
        look=_tasks,
        asks=1,
    ),
    Check(
        name="closing",
        rule="It can be closed, twice, used or not, and then has no connection open.",
        advice="Let aclose close what is open and do nothing the second time.",
        look=_closing,
        asks=1,
    ),
)
