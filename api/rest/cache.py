"""`/cache`: how the cache is, for whoever has the scope `reports`; and clearing it, for `admin`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.routing import Route

from api.openapi.operation import Answer, Operation, Parameters, Shape
from api.rest.plain_routes import client_with, json_response
from orchestrator.cache_admin import CacheView, Cleared
from orchestrator.errors import CacheUnavailable

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from orchestrator.gateway import Gateway

TAG = "Cache"


class Clearing(msgspec.Struct, frozen=True):
    """What to clear; an empty text is all."""

    tier: str = ""


OPERATIONS = (
    Operation(
        method="GET",
        path="/cache",
        id="cache",
        tag=TAG,
        summary="How the cache is",
        scopes=("reports",),
        answers=(Answer(CacheView, "Each tier, nearest first.", headers=("Cache-Control",)),),
    ),
    Operation(
        method="DELETE",
        path="/cache",
        id="clear_cache",
        tag=TAG,
        summary="Clear the cache",
        scopes=("admin",),
        query=Parameters(
            shape=Shape(
                name="Clearing",
                kind=Clearing,
                fields={
                    "tier": {
                        "enum": ["", "l1", "l2"],
                        "description": "Only this tier; all without. `l2` is there only with Redis.",
                    }
                },
            )
        ),
        answers=(
            Answer(
                Cleared,
                "What was thrown away.",
                headers=("Cache-Control",),
                example={"tiers": ["l1"], "entries": {"l1": 812}, "elsewhere_within_s": None},
            ),
        ),
        errors=(CacheUnavailable,),
    ),
)


def routes(gateway: Gateway) -> list[Route]:
    """The routes of this file; none in a gateway whose cache nobody administers."""
    admin = gateway.cache
    if admin is None:
        return []

    async def cache(request: Request) -> Response:
        scope = "admin" if request.method == "DELETE" else "reports"
        by = await client_with(gateway, request, scope)
        if request.method == "DELETE":
            tier = request.query_params.get("tier", "")
            return json_response(await admin.clear(tier, by=by))
        return json_response(await admin.view())

    return [Route("/cache", cache, methods=["GET", "DELETE"])]
