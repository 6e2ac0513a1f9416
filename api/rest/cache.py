"""`/cache`: how the cache is, for whoever has the scope `reports`; and clearing it, for `admin`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from api.rest.health import json_response
from api.rest.visitor import visitor_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from orchestrator.gateway import Gateway


def routes(gateway: Gateway) -> list[Route]:
    """The routes of this file; none in a gateway whose cache nobody administers."""
    admin = gateway.cache
    if admin is None:
        return []

    async def cache(request: Request) -> Response:
        scope = "admin" if request.method == "DELETE" else "reports"
        principal = await gateway.principal_for(visitor_of(request.scope).caller(), scope)
        if request.method == "DELETE":
            tier = request.query_params.get("tier", "")
            return json_response(await admin.clear(tier, by=principal.client))
        return json_response(await admin.view())

    return [Route("/cache", cache, methods=["GET", "DELETE"])]
