"""`/livez`: the process runs. `/readyz`: it can serve. `/health`: every component, for whoever operates it.

The first two answer anybody the guard lets in, with one word, because balancers ask them. Why an instance is
not ready, and what it consists of, is for known callers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from api.openapi.operation import Answer, Operation
from api.rest.plain_routes import client_with, json_response
from api.rest.visitor import visitor_of
from orchestrator.health import ComponentHealth

if TYPE_CHECKING:
    from starlette.requests import Request

    from orchestrator.gateway import Gateway

TAG = "Health"

"""What every answer says that a person may open in a browser, of the OWASP list what matters for data."""


class Live(msgspec.Struct, frozen=True):
    """The process runs."""

    status: Literal["live"] = "live"


class Readiness(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether calls may come here; why not, for callers with the scope `reports`."""

    status: Literal["ready", "not ready"]
    reasons: tuple[str, ...] = ()


class Health(msgspec.Struct, frozen=True):
    """Every component as it is; `status` is that of the whole."""

    status: Literal["ok", "degraded", "down"]
    components: tuple[ComponentHealth, ...]


OPERATIONS = (
    Operation(
        method="GET",
        path="/livez",
        id="live",
        tag=TAG,
        summary="Whether the process runs",
        description="Depends on nothing; asks for no key.",
        scopes=None,
        answers=(Answer(Live, "It runs.", headers=("Cache-Control",), example={"status": "live"}),),
    ),
    Operation(
        method="GET",
        path="/readyz",
        id="ready",
        tag=TAG,
        summary="Whether calls may come to this instance",
        description="Asks for no key; one with the scope `reports` is told the reasons.",
        scopes=None,
        answers=(
            Answer(Readiness, "They may.", headers=("Cache-Control",), example={"status": "ready"}),
            Answer(
                Readiness,
                "They should go to another instance.",
                503,
                headers=("Cache-Control",),
                example={"status": "not ready"},
            ),
        ),
    ),
    Operation(
        method="GET",
        path="/health",
        id="health",
        tag=TAG,
        summary="How every component is",
        scopes=("reports",),
        answers=(
            Answer(
                Health,
                "It serves, perhaps without some part.",
                headers=("Cache-Control",),
                example={
                    "status": "ok",
                    "components": [
                        {
                            "name": "provider:tavily",
                            "status": "ok",
                            "since": 1796040000.0,
                            "detail": "100% of 12 calls in the last 15 minutes succeeded.",
                            "advice": "",
                            "latency_s": None,
                        }
                    ],
                },
            ),
            Answer(Health, "It cannot serve.", 503, headers=("Cache-Control",)),
        ),
    ),
)


def routes(gateway: Gateway) -> list[Route]:
    """The routes of this file."""
    return [
        Route("/livez", live),
        Route("/readyz", _ready(gateway)),
        Route("/health", _health(gateway)),
    ]


async def live(request: Request) -> Response:
    """Say that the process runs; depends on nothing."""
    return json_response(Live())


def _ready(gateway: Gateway) -> Callable[[Request], Awaitable[Response]]:
    async def ready(request: Request) -> Response:
        reasons = gateway.not_ready()
        if not reasons:
            return json_response(Readiness("ready"))
        may_know = gateway.may(visitor_of(request.scope).caller(), "reports")
        return json_response(Readiness("not ready", reasons if may_know else ()), 503)

    return ready


def _health(gateway: Gateway) -> Callable[[Request], Awaitable[Response]]:
    async def health(request: Request) -> Response:
        await client_with(gateway, request, "reports")
        components = await gateway.health()
        ailing = any(component.status in ("degraded", "down") for component in components)
        down = bool(gateway.not_ready())
        whole = Health("down" if down else "degraded" if ailing else "ok", components)
        return json_response(whole, 503 if down else 200)

    return health
