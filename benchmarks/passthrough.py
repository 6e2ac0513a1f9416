"""The peer of the miss benchmark: one bare Starlette route on Hypercorn that hands calls on to a provider.

Run as `python -m benchmarks.passthrough <fd> <url>`. It sends the body on as it is, with httpx and the
transport that AMOS calls providers with, and answers with what comes back: no key, no check, no record.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import cast

import httpx
from hypercorn.asyncio import serve
from hypercorn.config import Config
from hypercorn.typing import Framework
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.providers.upstream import transport

HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer tvly-simulated"}


def passthrough_app(url: str, client: httpx.AsyncClient) -> Starlette:
    """The least that a gateway can do for `POST /search`."""

    async def search(request: Request) -> Response:
        answer = await client.post(url, content=await request.body(), headers=HEADERS)
        return Response(answer.content, status_code=answer.status_code, media_type="application/json")

    return Starlette(routes=[Route("/search", search, methods=["POST"])])


async def _serve(fd: int, url: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    config = Config()
    config.bind = [f"fd://{fd}"]
    config.keep_alive_max_requests = 1_000_000_000
    config.loglevel = "WARNING"
    async with httpx.AsyncClient(transport=transport(), timeout=None) as client:
        app = cast("Framework", passthrough_app(url, client))
        await serve(app, config, shutdown_trigger=stop.wait, mode="asgi")


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2]))
