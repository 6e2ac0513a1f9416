"""The peer of the hit benchmark: one bare Starlette route on Hypercorn, answering constant bytes.

Run as `python -m benchmarks.bare <fd>` with the answer's body on standard input.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import cast

from hypercorn.asyncio import serve
from hypercorn.typing import Framework
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.server import hypercorn_config


def bare_app(body: bytes) -> Starlette:
    """The least a Starlette app can do for `POST /search`."""

    async def search(_request: Request) -> Response:
        return Response(body, media_type="application/json")

    return Starlette(routes=[Route("/search", search, methods=["POST"])])


async def _serve(fd: int, body: bytes) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await serve(
        cast("Framework", bare_app(body)), hypercorn_config(fd), shutdown_trigger=stop.wait, mode="asgi"
    )


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), sys.stdin.buffer.read()))
