"""All routes of the console, for the router of the application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from api.console import assets, executions, keys, live, login, overview, providers, search
from api.console.visits import Console, Visit
from api.rest.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from api.settings import Settings
    from orchestrator.gateway import Gateway


def routes(gateway: Gateway, settings: Settings) -> list[Route]:
    """The routes of every page; none where the operator has switched the console off."""
    if not settings.console:
        return []
    console = Console(gateway, settings)
    return [
        *search.routes(console),
        *live.routes(console),
        *executions.routes(console),
        *overview.routes(console),
        *providers.routes(console),
        *keys.routes(console),
        *login.routes(console),
        Route(f"{assets.PREFIX}/{{digest}}/{{name:path}}", assets.asset, include_in_schema=False),
        # Last, because it fits them all.
        console.route("/console/{rest:path}", _nothing),
    ]


async def _nothing(_request: Request, _visit: Visit) -> Response:
    raise Problem(404, "not_found", "The console has no such page.")
