"""`/metrics`: all of the log, for all instances. `/metrics/instance`: the process that answers.

The first is the same whichever instance is asked, so it is scraped once, through the balancer. The second is
scraped at each instance, and answered when the database is gone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

from api.connections import open_connections
from api.openapi.operation import Answer, Operation
from api.rest.exposition import expose_log, expose_process
from api.rest.plain_routes import careful_headers, client_with
from orchestrator.errors import EventLogUnavailable, ReportsBehind
from orchestrator.reports.metrics import Family, gauge

if TYPE_CHECKING:
    from starlette.requests import Request

    from orchestrator.gateway import Gateway

_TEXT = {"type": "string", "description": "Prometheus' text format; docs/metrics.md has the metrics."}

_EXPOSED = Answer(
    _TEXT,
    "The metrics, in the format that `Accept` prefers.",
    media_type="text/plain",
    headers=("Cache-Control",),
    also={"application/openmetrics-text": _TEXT},
)

OPERATIONS = (
    Operation(
        method="GET",
        path="/metrics",
        id="metrics",
        tag="Health",
        summary="Metrics of all instances, from the log",
        description="The same whichever instance is asked: scrape it once, through the balancer.",
        scopes=("reports",),
        headers=("Accept",),
        answers=(_EXPOSED,),
        errors=(EventLogUnavailable, ReportsBehind),
    ),
    Operation(
        method="GET",
        path="/metrics/instance",
        id="metrics_of_instance",
        tag="Health",
        summary="Metrics of the process that answers",
        scopes=("reports",),
        headers=("Accept",),
        answers=(_EXPOSED,),
    ),
)


def routes(gateway: Gateway) -> list[Route]:
    """The routes of this file."""
    return [Route("/metrics", _log(gateway)), Route("/metrics/instance", _instance(gateway))]


def _log(gateway: Gateway) -> Callable[[Request], Awaitable[Response]]:
    async def metrics(request: Request) -> Response:
        await client_with(gateway, request, "reports")
        return _answer(request, expose_log, await gateway.metrics())

    return metrics


def _instance(gateway: Gateway) -> Callable[[Request], Awaitable[Response]]:
    async def metrics(request: Request) -> Response:
        await client_with(gateway, request, "reports")
        connections = gauge("amos_connections_open", "Clients connected to this process.", open_connections())
        return _answer(request, expose_process, (*gateway.figures(), connections))

    return metrics


def _answer(
    request: Request,
    expose: Callable[[Iterable[Family], str], tuple[str, bytes]],
    families: Iterable[Family],
) -> Response:
    content_type, body = expose(families, ", ".join(request.headers.getlist("accept")))
    return Response(body, headers={**careful_headers(), "Content-Type": content_type})
