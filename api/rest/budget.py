"""`/budget`: what may be spent and what was, beside what is recorded and what the providers have counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from api.openapi.operation import Answer, Operation
from api.rest.plain_routes import client_with, json_response
from orchestrator.budgets import Reconciled, Spendings
from orchestrator.errors import EventLogUnavailable

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from orchestrator.gateway import Gateway

TAG = "Budget"

OPERATIONS = (
    Operation(
        method="GET",
        path="/budget",
        id="budget",
        tag=TAG,
        summary="What may be spent, and what was",
        scopes=("reports",),
        answers=(
            Answer(
                Spendings,
                "Every limit and how much of it is left, beside what the providers have counted.",
                headers=("Cache-Control",),
            ),
        ),
        errors=(EventLogUnavailable,),
    ),
    Operation(
        method="POST",
        path="/budget/reconcile",
        id="reconcile_budget",
        tag=TAG,
        summary="Ask the providers what they have counted",
        description="At most once a minute; in between the last look is told.",
        scopes=("admin",),
        answers=(
            Answer(
                Reconciled,
                "The same, as of now, and which providers told nothing.",
                headers=("Cache-Control",),
            ),
        ),
        errors=(EventLogUnavailable,),
    ),
)


def routes(gateway: Gateway) -> list[Route]:
    """The routes of this file; none in a gateway that counts nothing."""
    budgets = gateway.budgets
    if budgets is None:
        return []

    async def budget(request: Request) -> Response:
        await client_with(gateway, request, "reports")
        return json_response(await budgets.report())

    async def reconciliation(request: Request) -> Response:
        await client_with(gateway, request, "admin")
        return json_response(await budgets.reconcile())

    return [
        Route("/budget", budget),
        Route("/budget/reconcile", reconciliation, methods=["POST"]),
    ]
