"""The HTTP application: which path is answered by what, and what every request passes on its way there.

From outside in: Paths (one path per resource), PathKeys (if a key may stand in one), HttpsOnly (with a
certificate), Cors (with allowed origins), Failures (whatever is raised becomes an answer), Guard (who may
knock), then the routes. Searches and extracts of every dialect are found by one look into a table;
Starlette's router serves the rest. `/mcp` has a lifespan of its own, which is the application's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Router

from api.console.doorstep import doorstep
from api.console.routes import routes as console_routes
from api.mcp_endpoint import McpEndpoint, tools_of
from api.middleware.cors import Cors
from api.middleware.failures import Failures
from api.middleware.guard import Doors as OpenTo
from api.middleware.guard import Guard
from api.middleware.path_keys import PathKeys
from api.middleware.paths import Paths
from api.middleware.redirect import HttpsOnly
from api.rest import (
    budget,
    cache,
    cache_warm,
    executions,
    executions_search,
    health,
    keys,
    metrics,
    openapi,
    providers,
    relay,
    reports,
    usage,
)
from api.rest.doors import Doors
from api.rest.problems import Problem
from api.rest.search import ExtractEndpoint, SearchEndpoint
from api.settings_values import is_loopback_address

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from api.settings import Settings
    from orchestrator.gateway import Gateway

NOT_FOUND = (
    "Nothing is offered at this path. There are /search, /extract, /map, /crawl, /research, /usage, "
    "/v1/search, /perplexity/search, /searxng/search, /openwebui/search, /mcp, /reports/..., "
    "/executions, /providers, /keys, /cache/..., /budget, /health and /metrics; /docs describes them. "
    "The console for people is at /, unless it is switched off."
)


def create_app(gateway: Gateway, settings: Settings) -> ASGIApp:
    """The ASGI application around a running gateway, which it neither starts nor stops."""
    return Application(gateway, settings)


def doors_of(settings: Settings) -> OpenTo:
    """Under which names, and for whose pages, the gateway is open."""
    return OpenTo(
        hosts=settings.allowed_hosts,
        origins=settings.allowed_origins,
        proxies=settings.trusted_proxies,
        is_public=not is_loopback_address(settings.host),
    )


class Application:
    """Sorts what the server sends: requests go through the layers, a websocket is refused."""

    def __init__(self, gateway: Gateway, settings: Settings) -> None:
        mcp = McpEndpoint(gateway, tools_of(gateway, settings.mcp_tools))
        self._doors = Doors(gateway)
        self._endpoints: dict[str, ASGIApp] = {
            **self._doors.exact,
            "/search": SearchEndpoint(gateway),
            "/extract": ExtractEndpoint(gateway),
            "/mcp": mcp,
        }
        self._router = Router(
            [
                *health.routes(gateway),
                *reports.routes(gateway),
                *metrics.routes(gateway),
                *executions_search.routes(gateway),
                *executions.routes(gateway),
                *keys.routes(gateway),
                *providers.routes(gateway),
                *budget.routes(gateway),
                *cache.routes(gateway),
                *cache_warm.routes(gateway),
                *relay.routes(gateway),
                *usage.routes(gateway),
                *openapi.routes(),
                *console_routes(gateway, settings),
            ],
            redirect_slashes=False,
            default=_not_found,
            lifespan=lambda _app: mcp.running(),
        )
        guarded = Guard(self._route, gateway.refused, doors_of(settings))
        layers: ASGIApp = Failures(guarded, doorstep) if settings.console else Failures(guarded)
        if settings.allowed_origins:
            layers = Cors(layers, settings.allowed_origins)
        if settings.tls_cert_file is not None:
            layers = Failures(HttpsOnly(layers, settings.port, settings.allowed_hosts))
        if settings.path_keys:
            layers = PathKeys(layers)
        self._http = Paths(layers, settings.root_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await self._router(scope, receive, send)
            case _:
                await receive()
                await send({"type": "websocket.close", "code": 1008, "reason": "No websockets here."})

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._endpoints.get(scope["path"]) or self._doors.below(scope["path"])
        if endpoint is not None:
            await endpoint(scope, receive, send)
        else:
            scope["app"] = (
                self  # Makes the router raise for a wrong method instead of answering in plain text.
            )
            await self._router(scope, receive, send)


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    raise Problem(404, "not_found", NOT_FOUND)
