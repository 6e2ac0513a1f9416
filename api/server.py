"""One worker: the app on Hypercorn, on sockets that the supervisor opened.

Run as `python -m api.server <socket> [<ready> [<redirect>]]` by the supervisor, all three descriptors: the
listening socket, a pipe to say on that it listens, and the socket whose plain HTTP is sent to HTTPS. Told to
stop, it finishes what it has begun.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import os
import socket
import sys
import time
from typing import Any, cast

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config, Sockets
from hypercorn.typing import Framework
from typing_extensions import override

from api import composition
from api.app import create_app
from api.child import run_child, stop_requested
from api.connections import use_our_connections
from api.settings import Settings
from api.tls import TlsFiles, tls_files
from orchestrator import limits

use_our_connections()

KEEP_ALIVE_S = 75.0
"""chosen: longer than the 60 s for which common proxies keep an idle upstream connection, so that they close
first."""

KEEP_ALIVE_REQUESTS = 1_000_000
"""chosen: Hypercorn's 1,000 would cut a busy proxy's connection every half second."""

BACKLOG = 1_024
"""chosen: connections the kernel holds while the loop is busy; Hypercorn's 100 refuses a burst of 200
clients."""

HANDSHAKE_S = 10.0
"""chosen: a client that takes longer to agree on TLS is none; Hypercorn would wait 60 s for it."""

GC_OBJECTS = 20_000
"""chosen: new objects between two looks for cycles; a few megabytes at most wait that long."""

GRACE_S = limits.EXTRACT_DEADLINE_S_MAX + 1.0
"""chosen: more than any call may take, so that SIGTERM cuts no answer; idle connections end at once."""


ACCEPT_PAUSE_S = 0.0005
"""chosen: so long a worker leaves new connections to others after it has taken one: an idle worker needs a
tenth of that to wake up, and 2,000 connections a second are still taken by each."""


class ServerConfig(Config):
    """Hypercorn's configuration, with sockets that several workers can accept from."""

    is_shared = False

    @override
    def create_sockets(self) -> Sockets:
        """The sockets to serve, as Hypercorn makes them."""
        made = super().create_sockets()
        for sockets in (made.secure_sockets, made.insecure_sockets):
            sockets[:] = [_Listener(fileno=each.detach()) for each in sockets]
            for each in sockets:
                cast("_Listener", each).pause_s = ACCEPT_PAUSE_S if self.is_shared else 0.0
        return made


class _Listener(socket.socket):
    """A listening socket of one or several workers; with `pause_s` each takes one connection at a time.

    It keeps its queue when the loop says how many connections it takes at once, and has nobody to give once
    the supervisor has shut it down.
    """

    pause_s = 0.0
    _taken_at = 0.0

    @override
    def listen(self, backlog: int = 0, /) -> None:
        super().listen(BACKLOG)

    @override
    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection. Raises BlockingIOError if there is none, or right after the one before."""
        if time.monotonic() - self._taken_at < self.pause_s:
            raise BlockingIOError
        try:
            accepted = super().accept()
        except OSError as error:
            if error.errno == errno.EINVAL:  # it listens no longer: we are about to be told to stop
                raise BlockingIOError from error
            raise
        self._taken_at = time.monotonic()
        return accepted


def hypercorn_config(
    fd: int, *, tls: TlsFiles | None = None, redirect_fd: int | None = None, is_shared: bool = False
) -> Config:
    """Hypercorn's settings for a worker on the inherited listening socket `fd`.

    With `tls` it serves HTTPS there, and plain HTTP on `redirect_fd`. If it `is_shared` with other workers
    each takes one connection at a time: by default asyncio takes all there are, and of 64 clients that came
    at once one of two workers was seen to serve 63.

    There is no access log: every call is an event already, and the log line would cost a third of the
    throughput.
    """
    config = ServerConfig()
    config.bind = [f"fd://{fd}"]
    if tls is not None:
        config.certfile, config.keyfile = str(tls.cert), str(tls.key)
        config.ssl_handshake_timeout = HANDSHAKE_S
    if redirect_fd is not None:
        config.insecure_bind = [f"fd://{redirect_fd}"]
    config.is_shared = is_shared
    # asyncio uses this number twice: as the length of the queue and as how many it takes from it in one turn.
    config.backlog = 1 if is_shared else BACKLOG
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.keep_alive_max_requests = KEEP_ALIVE_REQUESTS
    config.graceful_timeout = GRACE_S
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    return config


def calm_collector() -> None:
    """Spare requests the garbage collector's interest in what was there before them.

    Everything loaded so far lives as long as the process, and a request leaves next to no cycles behind. With
    the defaults (700 new objects) a busy worker spent 7 % of its time looking at the same 90,000 objects
    again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_OBJECTS, 20, 20)


async def work(
    settings: Settings, fd: int, ready_fd: int | None = None, redirect_fd: int | None = None
) -> None:
    """Serve until told to stop, then let the calls under way finish within `GRACE_S`.

    `ready_fd` is written to when connections are accepted.
    """
    tls = tls_files(settings)
    async with (
        stop_requested(watches_parent=True) as stop,
        composition.gateway(settings, warms=True) as gateway,
    ):
        app = create_app(gateway, settings)
        calm_collector()
        config = hypercorn_config(fd, tls=tls, redirect_fd=redirect_fd, is_shared=settings.workers > 1)

        async def serve_until_stopped() -> None:
            # Hypercorn begins to wait for its end when it listens on all sockets.
            if ready_fd is not None:
                with contextlib.suppress(OSError):  # nobody listens, or nobody has for long
                    os.write(ready_fd, b".")
            await stop.wait()
            # From now on every answer says that it is the last on its connection: nobody asks again there.
            config.keep_alive_max_requests = 0

        # Starlette and Hypercorn spell the same ASGI types differently.
        served = cast("Framework", app)
        await hypercorn_serve(served, config, shutdown_trigger=serve_until_stopped, mode="asgi")


def main() -> None:
    """The worker process; ends with status 1 and one line if it cannot work on this installation."""
    descriptors = [int(word) for word in sys.argv[1:]]
    run_child("worker", lambda settings: work(settings, *descriptors))


if __name__ == "__main__":
    main()
