"""What `amos serve` is: a listening socket, a worker on it, and the recorder; what dies is started again.

The socket belongs to the supervisor and is inherited, so that a worker's death refuses nobody: connections
wait in the kernel until its successor accepts them. Each child's standard input is a pipe whose end
tells it to stop; it ends with the supervisor, however that one dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from api.child import stop_requested
from api.logs import configure_logging
from api.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
"""Where `python -m api.…` finds the packages."""

STOP_S = 35.0
"""chosen: a worker finishes its calls (an extract takes up to 30 s) or is killed after this."""

READY_S = 30.0
"""chosen: a start that takes longer is reported, and waited for no more."""

RESTART_S_MIN = 0.1
RESTART_S_MAX = 5.0
"""chosen: the pause before a child is started again doubles with each quick death, between these two."""

POLL_S = 0.05
"""chosen: how often a worker that is not up yet is asked."""

STEADY_S = 30.0
"""chosen: a child that lived this long did not die of its start."""

_log = logging.getLogger("amos.supervisor")


def serve(settings: Settings) -> int:
    """Run the server until SIGTERM or SIGINT.

    Returns the exit status: 0, or 1 if the address cannot be used.
    """
    configure_logging(settings.log_level)
    try:
        listener = _listen(settings.host, settings.port)
    except OSError as error:
        _log.error("cannot listen on %s:%s: %s", settings.host, settings.port, error.strerror)
        return 1
    with listener:
        return asyncio.run(_supervise(settings, listener))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))
        # Listening from the start: what comes in before the worker is up waits instead of being refused.
        listener.listen(1_024)
    except OSError:
        listener.close()
        raise
    return listener


async def _supervise(settings: Settings, listener: socket.socket) -> int:
    host, port = listener.getsockname()[:2]
    environment = _environment(settings, port)
    fd = listener.fileno()
    async with (
        stop_requested(watches_parent=False) as stop,
        # The recorder starts first and stops last: what the workers write at their end is still drained, if
        # it takes another recorder, because the last one has just died.
        _kept_alive("recorder", ["api.recorder"], environment, (), is_last_run_due=True),
        _kept_alive("worker", ["api.server", str(fd)], environment, (fd,)),
    ):
        await _announce(host, port, stop)
        await stop.wait()
        # The worker gives up its own hold on the socket too: who comes now is refused at once and may go
        # elsewhere, instead of waiting in the kernel for a worker that accepts nobody any more.
        listener.close()
        _say("AMOS is stopping: it finishes the calls under way.")
    return 0


def _environment(settings: Settings, port: int) -> dict[str, str]:
    """What a child sees: our own environment, with what the command line has overridden."""
    return {
        **os.environ,
        "AMOS_HOST": settings.host,
        "AMOS_PORT": str(port),
        "AMOS_DATA_DIR": str(settings.data_dir),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", "")))),
        "PYTHONSAFEPATH": "1",
    }


@contextlib.asynccontextmanager
async def _kept_alive(
    name: str,
    module: list[str],
    environment: dict[str, str],
    fds: tuple[int, ...],
    *,
    is_last_run_due: bool = False,
) -> AsyncIterator[None]:
    """A child that runs as long as the context: started again when it dies, ended gently with it.

    One whose last run is due is started again to be ended, should it be dead when the context ends.
    """
    stopping = asyncio.Event()
    keeper = asyncio.create_task(
        _keep(name, module, environment, fds, stopping, is_last_run_due=is_last_run_due),
        name=f"keeper of {name}",
    )
    try:
        yield
    finally:
        stopping.set()
        await keeper


async def _keep(
    name: str,
    module: list[str],
    environment: dict[str, str],
    fds: tuple[int, ...],
    stopping: asyncio.Event,
    *,
    is_last_run_due: bool,
) -> None:
    pause_s = RESTART_S_MIN
    while is_last_run_due or not stopping.is_set():
        begun = time.monotonic()
        # A session of its own: Ctrl-C at the terminal reaches us alone, and we stop the children in order.
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *module,
            stdin=asyncio.subprocess.PIPE,
            env=environment,
            pass_fds=fds,
            start_new_session=True,
        )
        ended = asyncio.create_task(child.wait())
        told = asyncio.create_task(stopping.wait())
        await asyncio.wait({ended, told}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if not ended.done():
            await _end(name, child, ended)
            return
        pause_s = RESTART_S_MIN if time.monotonic() - begun > STEADY_S else min(pause_s * 2, RESTART_S_MAX)
        _log.error(
            "the %s ended with status %s; it is started again in %.1f s", name, child.returncode, pause_s
        )
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), pause_s)


async def _end(name: str, child: asyncio.subprocess.Process, ended: asyncio.Task[int]) -> None:
    # The end of its input tells a child to stop (see child.py). SIGTERM would kill one that is only starting
    # and does not listen for signals yet; the end of the input waits until it looks.
    assert child.stdin is not None
    child.stdin.close()
    done, _ = await asyncio.wait({ended}, timeout=STOP_S)
    if not done:
        _log.error("the %s did not stop within %.0f s and is killed", name, STOP_S)
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await ended


async def _announce(host: str, port: int, stop: asyncio.Event) -> None:
    """Say where we are once a call is answered there, and how to make one."""
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    waiting = asyncio.create_task(_wait_until_live(host, port))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({waiting, stopped}, timeout=READY_S, return_when=asyncio.FIRST_COMPLETED)
    is_live = waiting.done()
    for task in (waiting, stopped):
        task.cancel()
    if stop.is_set():
        return
    if not is_live:
        _log.error("no answer on http://%s after %.0f s; still trying", authority, READY_S)
        return
    _say(f"AMOS is ready on http://{authority}")
    _say(f"""  curl -s http://{authority}/search -d '{{"query":"circuit breaker"}}'""")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def _wait_until_live(host: str, port: int) -> None:
    """Ask /livez until it answers. The listening socket queues the question while the worker starts."""
    question = f"GET /livez HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n".encode()
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(question)
            answer = await reader.read(16)
            writer.close()
            if b" 200" in answer:
                return
        await asyncio.sleep(POLL_S)
