"""What `amos serve` is: a listening socket, workers on it, and one recorder; what dies is started again.

The socket belongs to the supervisor and is inherited, so that a worker's death refuses nobody: connections
wait in the kernel until its successor, or another worker, accepts them.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import resource
import select
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

from api.child import stop_requested
from api.keeper import Child, kept_alive
from api.logs.configure import configure_logging
from api.settings import Settings
from api.tls import check, tls_files, unverified
from orchestrator.errors import GatewayError, SettingsError
from storage.folders import require_writable

ROOT = Path(__file__).resolve().parent.parent
"""Where `python -m api.…` finds the packages."""

READY_S = 30.0
"""chosen: a start that takes longer is reported, and waited for no more."""

POLL_S = 0.05
"""chosen: how often a worker that is not up yet is asked."""

QUEUE_POLL_S = 0.001
"""chosen: how often a stop looks whether somebody still waits to be accepted; a worker needs less for one."""

QUEUE_POLLS = 500
"""chosen: half a second for that. Workers that are stuck accept nobody later either."""

_log = logging.getLogger("amos.supervisor")


def serve(settings: Settings) -> int:
    """Run the server until SIGTERM or SIGINT.

    Returns the exit status: 0, or 1 if the data directory, the certificate, an address or the providers that
    the settings name cannot be used.
    """
    configure_logging(settings)
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
    with contextlib.ExitStack() as listeners:
        try:
            _look_at_certificate(settings)
            _look_at_ports(settings)
            listener = listeners.enter_context(_listen(settings.host, settings.port, "AMOS_PORT (or --port)"))
            redirect = None
            if settings.redirect_port is not None:
                port = settings.redirect_port
                redirect = listeners.enter_context(_listen(settings.host, port, "AMOS_REDIRECT_PORT"))
        except (SettingsError, OSError) as error:
            _log.error("%s", error)
            return 1
        return asyncio.run(_supervise(settings, listener, redirect))


def _look_at_certificate(settings: Settings) -> None:
    """Say what the operator should know of it. Raises SettingsError if no client could use it."""
    files = tls_files(settings)
    if files is not None and (advice := check(files)):
        _log.warning("%s", advice)


def _look_at_ports(settings: Settings) -> None:
    """Only now, because `--port` may have another in place of AMOS_PORT. Raises SettingsError."""
    if settings.redirect_port and settings.redirect_port == settings.port:
        raise SettingsError("AMOS_REDIRECT_PORT: must be another port than AMOS_PORT (or --port).")


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


def _listen(host: str, port: int, setting: str) -> socket.socket:
    """The listening socket. Raises OSError that names the address and, if it is taken, what to do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))
        # Listening from the start: what comes in before the worker is up waits instead of being refused.
        listener.listen(1_024)
    except OSError as error:
        listener.close()
        message = f"cannot listen on {host}:{port}: {error.strerror}"
        if error.errno == errno.EADDRINUSE:
            message += (
                f". `ss -ltnp 'sport = :{port}'` shows who has it; end it, or set {setting} to another."
            )
        raise OSError(message) from error
    return listener


async def _supervise(settings: Settings, listener: socket.socket, redirect: socket.socket | None) -> int:
    host, port = listener.getsockname()[:2]
    environment = _environment(settings, port)
    python = (sys.executable, "-m")
    ready, says_ready = os.pipe()
    os.set_blocking(says_ready, False)  # workers that start again and again find nobody reading any more
    start = _Start()
    fds = [listener.fileno(), says_ready, *([] if redirect is None else [redirect.fileno()])]
    async with (
        stop_requested(watches_parent=False) as stop,
        # The recorder starts first and stops last: what the workers write at their end is still drained, if
        # it takes another recorder, because the last one has just died.
        kept_alive(Child("recorder", (*python, "api.recorder"), environment, is_last_run_due=True)),
        kept_alive(
            *(
                Child(
                    name,
                    (*python, "api.server", *map(str, fds)),
                    environment,
                    tuple(fds),
                    gives_up=start.is_refused,
                )
                for name in _names(settings.workers)
            )
        ),
    ):
        await _announce(settings, (host, port), ready, stop, start)
        if start.refused.is_set():
            return 1  # the worker has said why
        await stop.wait()
        for each in filter(None, (listener, redirect)):
            await _refuse_newcomers(each)
        _say("AMOS is stopping: it finishes the calls under way.")
    return 0


async def _refuse_newcomers(listener: socket.socket) -> None:
    """End the listening for all workers at once, in a moment in which nobody waits to be accepted.

    Who comes now is refused and may go elsewhere. If each worker ended it for itself, those who had just been
    told by one of them that their connection ends would wait for another that ends as well, and be cut off.
    """
    waiting = select.poll()
    waiting.register(listener, select.POLLIN)
    for _ in range(QUEUE_POLLS):
        if not waiting.poll(0):
            break
        await asyncio.sleep(QUEUE_POLL_S)
    with contextlib.suppress(OSError):  # not every system can; then it ends with the last worker's hold on it
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()


class _Start:
    """Whether this is still the start, which settings that cannot be end.

    Later a worker is started again all the same: others may serve, and what is wrong may be mended.
    """

    def __init__(self) -> None:
        self.is_over = False
        self.refused = asyncio.Event()

    def is_refused(self) -> bool:
        """Refuse the start, if it still is one; says whether it was."""
        if not self.is_over:
            self.refused.set()
        return not self.is_over


def _names(workers: int) -> Iterator[str]:
    """What the workers are called in the log."""
    return iter(["worker"] if workers == 1 else [f"worker {number}" for number in range(1, workers + 1)])


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


async def _announce(
    settings: Settings, address: tuple[str, int], ready: int, stop: asyncio.Event, start: _Start
) -> None:
    """Say where we are once every worker accepts calls and one is answered, and how to make one."""
    host, port = address
    tls = unverified() if settings.tls_cert_file is not None else None
    # Who listens on all addresses is reached from here by the loopback one, under a name that is let in.
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not listened on
    url = f"{'http' if tls is None else 'https'}://{f'[{reached}]' if ':' in reached else reached}:{port}"
    waiting = asyncio.create_task(_wait_until_live(settings.workers, ready, reached, port, tls))
    ended = {asyncio.create_task(stop.wait()), asyncio.create_task(start.refused.wait())}
    await asyncio.wait({waiting, *ended}, timeout=READY_S, return_when=asyncio.FIRST_COMPLETED)
    is_live = waiting.done()
    start.is_over = not start.refused.is_set()
    for task in (waiting, *ended):
        task.cancel()
    if stop.is_set() or start.refused.is_set():
        return
    if not is_live:
        _log.error("no answer on %s after %.0f s; still trying", url, READY_S)
        return
    _say(f"AMOS is ready on {url}")
    _say(f"""  curl -s {url}/search -d '{{"query":"circuit breaker"}}'""")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def _wait_until_live(
    workers: int, ready: int, host: str, port: int, tls: ssl.SSLContext | None
) -> None:
    """Wait until each worker has said that it accepts calls, then ask /livez until it answers."""
    said = 0
    os.set_blocking(ready, False)
    while said < workers:
        with contextlib.suppress(BlockingIOError):
            said += len(os.read(ready, workers))
        await asyncio.sleep(POLL_S)
    question = f"GET /livez HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n".encode()
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(host, port, ssl=tls)
            writer.write(question)
            answer = await reader.read(16)
            writer.close()
            if b" 200" in answer:
                return
        await asyncio.sleep(POLL_S)
