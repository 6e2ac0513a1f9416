"""`/budget`: what may be spent and what was, beside what is recorded and what the providers have counted."""

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
    """The routes of this file; none in a gateway that counts nothing."""
    budgets = gateway.budgets
    if budgets is None:
        return []

    async def budget(request: Request) -> Response:
        await gateway.principal_for(visitor_of(request.scope).caller(), "reports")
        return json_response(await budgets.report())

    async def reconciliation(request: Request) -> Response:
        await gateway.principal_for(visitor_of(request.scope).caller(), "admin")
        return json_response(await budgets.reconcile())

    return [
        Route("/budget", budget),
        Route("/budget/reconcile", reconciliation, methods=["POST"]),
    ]
