"""What `amos serve` is: a listening socket, a worker on it, and the recorder; what dies is started again.

The socket belongs to the supervisor and is inherited, so that a worker's death refuses nobody: connections
wait in the kernel until its successor accepts them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import socket
import sys
from pathlib import Path

from api.child import stop_requested
from api.keeper import Child, kept_alive
from api.logs import configure_logging
from api.settings import Settings
from orchestrator.errors import GatewayError
from storage.folders import require_writable

ROOT = Path(__file__).resolve().parent.parent
"""Where `python -m api.…` finds the packages."""

READY_S = 30.0
"""chosen: a start that takes longer is reported, and waited for no more."""

POLL_S = 0.05
"""chosen: how often a worker that is not up yet is asked."""

_log = logging.getLogger("amos.supervisor")


def serve(settings: Settings) -> int:
    """Run the server until SIGTERM or SIGINT.

    Returns the exit status: 0, or 1 if the data directory or the address cannot be used.
    """
    configure_logging(settings.log_level)
    _raise_file_limit()
    # Seen to before anything is started, because a child that cannot work there would be started for ever.
    for folder in (settings.data_dir, settings.data_dir / "journal"):
        try:
            require_writable(folder)
        except OSError as error:
            _log.error("the data folder cannot be used: %s: %s", folder, error.strerror)
            return 1
    if not _is_safe(settings):
        return 1
    try:
        listener = _listen(settings.host, settings.port)
    except OSError as error:
        _log.error("cannot listen on %s:%s: %s", settings.host, settings.port, error.strerror)
        return 1
    with listener:
        return asyncio.run(_supervise(settings, listener))


def _is_safe(settings: Settings) -> bool:
    """Whether the server may start, seen to and said here; the plain start on one machine has no doubts."""
    if settings.is_loopback and settings.has_own_database and settings.bootstrap_admin_key_file is None:
        return True
    # Imported only now: the database's libraries would stay in the supervisor's memory for nothing.
    from api.safe_start import make_safe  # noqa: PLC0415

    try:
        asyncio.run(make_safe(settings))
    except (GatewayError, OSError) as error:
        _log.error("%s", error)
        return False
    return True


def _raise_file_limit() -> None:
    """Take all the open files the system grants, for the children: each connection of a worker is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some systems name a hard limit that they do not grant; the limit stays as it is there.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


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
    python = (sys.executable, "-m")
    async with (
        stop_requested(watches_parent=False) as stop,
        # The recorder starts first and stops last: what the workers write at their end is still drained, if
        # it takes another recorder, because the last one has just died.
        kept_alive(Child("recorder", (*python, "api.recorder"), environment, is_last_run_due=True)),
        kept_alive(Child("worker", (*python, "api.server", str(fd)), environment, (fd,))),
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
