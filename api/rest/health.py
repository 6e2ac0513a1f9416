"""`/livez`: the process runs. `/readyz`: it can serve. `/health`: every component, for whoever operates it.

The first two answer anybody the guard lets in, with one word, because balancers ask them. Why an instance is
not ready, and what it consists of, is for known callers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from api.rest.exchange import NO_PAGE, NO_SNIFFING
from api.rest.visitor import visitor_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from orchestrator.gateway import Gateway

CAREFUL = (NO_SNIFFING, NO_PAGE, (b"referrer-policy", b"no-referrer"))
"""What every answer says that a person may open in a browser, of the OWASP list what matters for data."""

_encode = msgspec.json.Encoder().encode


def routes(gateway: Gateway) -> list[Route]:
    """The routes of this file."""
    return [
        Route("/livez", live),
        Route("/readyz", _ready(gateway)),
        Route("/health", _health(gateway)),
    ]


async def live(request: Request) -> Response:
    """Say that the process runs; depends on nothing."""
    return json_response({"status": "live"})


def _ready(gateway: Gateway) -> Callable[[Request], Awaitable[Response]]:
    async def ready(request: Request) -> Response:
        reasons = gateway.not_ready()
        body: dict[str, Any] = {"status": "not ready" if reasons else "ready"}
        if reasons and gateway.may(visitor_of(request.scope).caller(), "reports"):
            body["reasons"] = reasons
        return json_response(body, 503 if reasons else 200)

    return ready


def _health(gateway: Gateway) -> Callable[[Request], Awaitable[Response]]:
    async def health(request: Request) -> Response:
        await gateway.principal_for(visitor_of(request.scope).caller(), "reports")
        components = await gateway.health()
        ailing = any(component.status in ("degraded", "down") for component in components)
        down = bool(gateway.not_ready())
        status = "down" if down else "degraded" if ailing else "ok"
        return json_response({"status": status, "components": components}, 503 if down else 200)

    return health


def json_response(content: Any, status: int = 200) -> Response:
    """An answer that nobody keeps."""
    return Response(_encode(content), status, careful_headers(), media_type="application/json")


def careful_headers() -> dict[str, str]:
    """The headers of an answer that nobody keeps."""
    return {"Cache-Control": "no-store", **{name.decode(): value.decode() for name, value in CAREFUL}}
