"""All routes of the console, for the router of the application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from api.console import assets, login, search
from api.console.visits import Console

if TYPE_CHECKING:
    from api.settings import Settings
    from orchestrator.gateway import Gateway


def routes(gateway: Gateway, settings: Settings) -> list[Route]:
    """The routes of every page; none where the operator has switched the console off."""
    if not settings.console:
        return []
    console = Console(gateway, settings)
    return [
        *search.routes(console),
        *login.routes(console),
        Route(f"{assets.PREFIX}/{{digest}}/{{name:path}}", assets.asset, include_in_schema=False),
    ]
