"""The peer of the hit benchmark: one bare Starlette route on Hypercorn, answering constant bytes.

Run as `python -m benchmarks.bare <fd>` with a JSON object of headers on the first line of standard input and
the body behind it. Hypercorn is as it comes, except that it does not end connections after 1,000 requests.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Mapping
from typing import cast

from hypercorn.asyncio import serve
from hypercorn.config import Config
from hypercorn.typing import Framework
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def bare_app(headers: Mapping[str, str], body: bytes) -> Starlette:
    """The least a Starlette app can do for `POST /search`."""

    async def search(_request: Request) -> Response:
        return Response(body, headers=headers)

    return Starlette(routes=[Route("/search", search, methods=["POST"])])


async def _serve(fd: int, headers: Mapping[str, str], body: bytes) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    app = cast("Framework", bare_app(headers, body))
    config = Config()
    config.bind = [f"fd://{fd}"]
    config.keep_alive_max_requests = 1_000_000_000
    config.loglevel = "WARNING"
    await serve(app, config, shutdown_trigger=stop.wait, mode="asgi")


if __name__ == "__main__":
    first_line = sys.stdin.buffer.readline()
    asyncio.run(_serve(int(sys.argv[1]), json.loads(first_line), sys.stdin.buffer.read()))
