"""Keeps a child process running: started again when it dies, ended gently when it is no longer wanted.

Each child's standard input is a pipe whose end tells it to stop; it ends with the supervisor, however that
one dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import NamedTuple

from api.child import MISCONFIGURED

STOP_S = 35.0
"""chosen: a worker finishes its calls (an extract takes up to 30 s) or is killed after this."""

RESTART_S_MIN = 0.1
RESTART_S_MAX = 5.0
"""chosen: the pause before a child is started again doubles with each quick death, between these two."""

STEADY_S = 30.0
"""chosen: a child that lived this long did not die of its start."""

_HOPELESS = f"ended with status {MISCONFIGURED}"

_log = logging.getLogger("amos.supervisor")


class Child(NamedTuple):
    """What to run. `fds` are the descriptors it inherits.

    One whose last run is due is started again to be ended, should it be dead when it is no longer wanted.
    `gives_up` is asked when its settings cannot be: whether it is not to be started again.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    fds: tuple[int, ...] = ()
    is_last_run_due: bool = False
    gives_up: Callable[[], bool] = lambda: False


@contextlib.asynccontextmanager
async def kept_alive(*children: Child) -> AsyncIterator[None]:
    """The children run as long as the context; all are told to stop at once."""
    stopping = asyncio.Event()
    keepers = [
        asyncio.create_task(_keep(child, stopping), name=f"keeper of {child.name}") for child in children
    ]
    try:
        yield
    finally:
        stopping.set()
        await asyncio.gather(*keepers)


async def _keep(child: Child, stopping: asyncio.Event) -> None:
    pause_s = RESTART_S_MIN
    while child.is_last_run_due or not stopping.is_set():
        is_last = stopping.is_set()
        begun = time.monotonic()
        fate = await _run(child, stopping)
        if not fate or is_last or (fate == _HOPELESS and child.gives_up()):
            return
        pause_s = RESTART_S_MIN if time.monotonic() - begun > STEADY_S else min(pause_s * 2, RESTART_S_MAX)
        _log.error("the %s %s; it is started again in %.1f s", child.name, fate, pause_s)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), pause_s)


async def _run(child: Child, stopping: asyncio.Event) -> str:
    """Run it once; says how it ended by itself, or `""` if it was ended because it is no longer wanted."""
    try:
        process = await _start(child)
    except OSError as error:  # not executable, too many processes or open files: perhaps not for long
        return f"could not be started ({error.strerror})"
    ended = asyncio.create_task(process.wait())
    told = asyncio.create_task(stopping.wait())
    await asyncio.wait({ended, told}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if ended.done():
        return f"ended with status {process.returncode}"
    await _end(child.name, process, ended)
    return ""


async def _start(child: Child) -> asyncio.subprocess.Process:
    # A session of its own: Ctrl-C at the terminal reaches us alone, and we stop the children in order.
    return await asyncio.create_subprocess_exec(
        *child.command,
        stdin=asyncio.subprocess.PIPE,
        env=child.environment,
        pass_fds=child.fds,
        start_new_session=True,
    )


async def _end(name: str, process: asyncio.subprocess.Process, ended: asyncio.Task[int]) -> None:
    # The end of its input tells a child to stop (see child.py). SIGTERM would kill one that is only starting
    # and does not listen for signals yet; the end of the input waits until it looks.
    assert process.stdin is not None
    process.stdin.close()
    done, _ = await asyncio.wait({ended}, timeout=STOP_S)
    if not done:
        _log.error("the %s did not stop within %.0f s and is killed", name, STOP_S)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await ended
