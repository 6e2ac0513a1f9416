"""One worker: the app on Hypercorn, on a socket that the supervisor opened.

Run as `python -m api.server <fd>` by the supervisor. Told to stop, it finishes what it has begun.
"""

from __future__ import annotations

import gc
import logging
import sys
from typing import cast

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config
from hypercorn.typing import Framework

from api import composition
from api.app import create_app
from api.child import run_child, stop_requested
from api.connections import use_our_connections
from api.settings import Settings
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

GC_OBJECTS = 20_000
"""chosen: new objects between two looks for cycles; a few megabytes at most wait that long."""

GRACE_S = limits.EXTRACT_DEADLINE_S_MAX + 1.0
"""chosen: more than any call may take, so that SIGTERM cuts no answer; idle connections end at once."""


def hypercorn_config(fd: int) -> Config:
    """Hypercorn's settings for a worker on the inherited listening socket `fd`.

    There is no access log: every call is an event already, and the log line would cost a third of the
    throughput.
    """
    config = Config()
    config.bind = [f"fd://{fd}"]
    config.backlog = BACKLOG
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


async def work(settings: Settings, fd: int) -> None:
    """Serve until told to stop, then let the calls under way finish within `GRACE_S`."""
    async with stop_requested(watches_parent=True) as stop, composition.gateway(settings) as gateway:
        app = create_app(gateway, settings)
        calm_collector()
        # Starlette and Hypercorn spell the same ASGI types differently.
        served = cast("Framework", app)
        await hypercorn_serve(served, hypercorn_config(fd), shutdown_trigger=stop.wait, mode="asgi")


def main() -> None:
    """The worker process; ends with status 1 and one line if it cannot work on this installation."""
    fd = int(sys.argv[1])
    run_child("worker", lambda settings: work(settings, fd))


if __name__ == "__main__":
    main()
