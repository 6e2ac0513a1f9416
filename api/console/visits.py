"""Who looks at a page, and what becomes of a page that cannot be shown.

`Console.route` makes a route of a handler: it finds out who asks, by the session's cookie or a key in a
header, sends strangers to the login, and shows every failure as a page, as the part of a page that htmx asked
for, or as problem details to scripts. The cookie counts here alone, never at the API, and only for requests
that no page of another origin has sent: such a page may be allowed to use the API, but not in the name of
whoever is logged in.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlencode

import msgspec
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from api.console.data import Figures
from api.console.pages import page
from api.console.session import PURPOSE, Sessions
from api.middleware.proxies import Proxies
from api.rest.exchange import ClientLeft
from api.rest.plain_routes import careful_headers
from api.rest.problems import Problem, problem_of
from api.rest.visitor import visitor_of
from orchestrator.errors import GatewayError, PermissionDenied, Unauthenticated
from orchestrator.model import DEFAULT_CACHE_CONTROL

if TYPE_CHECKING:
    from starlette.requests import Request

    from api.rest.visitor import Visitor
    from api.settings import Settings
    from orchestrator.gateway import Gateway
    from orchestrator.model import Caller
    from orchestrator.principals import Principal

DOOR = "console"
"""The door of what is asked here, as events and reports name it."""

LOGIN = "/console/login"

NAVIGATION = (
    ("/", "Search", "search", "search"),
    ("/console/live", "Live", "live", ""),
    ("/console/executions", "Executions", "executions", ""),
    ("/console/overview", "Overview", "overview", "reports"),
    ("/console/providers", "Providers", "providers", "admin"),
    ("/console/keys", "Keys", "keys", "admin"),
)
"""Address, name, icon and needed scope (`""` none) of the pages in the menu."""

_log = logging.getLogger("amos.console")


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """One request of somebody known. `caller` is for the pipeline; `is_fragment`: htmx wants a part only."""

    principal: Principal
    caller: Caller
    path: str
    is_fragment: bool = False

    def may(self, scope: str) -> bool:
        """Whether they have the scope."""
        return not scope or scope in self.principal.scopes

    @property
    def menu(self) -> list[tuple[str, str, str]]:
        """Address, name and icon of every page they may open."""
        return [(to, name, icon) for to, name, icon, scope in NAVIGATION if self.may(scope)]

    @property
    def whose(self) -> str | None:
        """Whose executions they see: their own client's, `None` for everybody's."""
        return None if self.may("reports") else self.principal.client

    async def page(self, template: str, **values: Any) -> Response:
        """The answer made of a template, which knows the visit as `visit`; see `page`."""
        return await page(template, visit=self, **values)


Handler: TypeAlias = "Callable[[Request, Visit], Awaitable[Response]]"
"""Answers a request of somebody known; raises GatewayError and Problem for what cannot be shown."""


class Console:
    """What all pages share."""

    def __init__(self, gateway: Gateway, settings: Settings) -> None:
        self.gateway = gateway
        self.settings = settings
        self.figures = Figures(gateway.reports)
        secret = None if gateway.keys is None else gateway.keys.derived(PURPOSE)
        self.sessions = Sessions(secret)
        self._proxies = Proxies(settings.trusted_proxies)

    def route(self, path: str, handler: Handler, *scopes: str, methods: Sequence[str] = ("GET",)) -> Route:
        """The route of a page, or part of one, for those who have all the scopes."""

        async def answer(request: Request) -> Response:
            try:
                return await handler(request, await self.visit(request, path, *scopes))
            except Unauthenticated as stranger:
                return await self._to_login(request, stranger)
            except ClientLeft:
                raise
            except Exception as error:  # noqa: BLE001 - a person is shown a page whatever happens
                return await self._failure(request, error)

        return Route(path, answer, methods=list(methods), include_in_schema=False)

    async def visit(self, request: Request, target: str, *scopes: str) -> Visit:
        """Who asks. Raises Problem (403) for another origin's page, Unauthenticated, PermissionDenied."""
        caller = self.caller(request, target)
        principal = await self.gateway.principal_for(caller, *scopes)
        if principal.address and not scopes:
            # All who are served without a key are one client: they must not see each other's calls.
            self.gateway.refused("no_credential")
            raise Unauthenticated("For this an API key is needed.", reason="no_credential")
        return Visit(
            principal=principal, caller=caller, path=request.url.path, is_fragment=wants_fragment(request)
        )

    def caller(self, request: Request, target: str) -> Caller:
        """The caller for the pipeline: by a key in a header, or else by the session. Raises Problem (403)."""
        visitor = visitor_of(request.scope)
        self._check_own_page(request, visitor)
        key_id = self.sessions.key_id(
            visitor.headers.get(b"cookie"), is_secure=self.is_secure(request, visitor)
        )
        caller = visitor.caller(method=request.method, target=target)
        # Loading a page again is no wish for a fresh answer, which costs: browsers say max-age=0 then.
        return msgspec.structs.replace(caller, door=DOOR, key_id=key_id, cache_control=DEFAULT_CACHE_CONTROL)

    def is_secure(self, request: Request, visitor: Visitor) -> bool:
        """Whether the browser's connection is encrypted, as far as we or a trusted proxy know."""
        peer = request.scope["client"][0] if request.scope.get("client") else ""
        _, scheme = self._proxies.client(visitor.headers, peer)
        return (scheme or request.scope["scheme"]) == "https"

    def _check_own_page(self, request: Request, visitor: Visitor) -> None:
        """The guard lets pages of AMOS_ALLOWED_ORIGINS in, for the API. Here they have no business."""
        scheme = b"https" if self.is_secure(request, visitor) else b"http"
        own = scheme + b"://" + visitor.headers.get(b"host", b"").lower()
        if visitor.headers.get(b"origin", own).lower() != own:
            self.gateway.refused("foreign_origin")
            raise Problem(403, "foreign_origin", "Pages of other origins may not use the console.")

    async def _to_login(self, request: Request, stranger: Unauthenticated) -> Response:
        if wants_json(request):
            raise stranger
        asked = {"next": request.url.path + (f"?{request.url.query}" if request.url.query else "")}
        if request.method != "GET" or wants_fragment(request):
            asked = {"next": _path_of(request.headers.get("hx-current-url", "/"))}
        to = f"{LOGIN}?{urlencode({**asked, 'why': stranger.reason})}"
        if wants_fragment(request):
            # htmx would follow a redirect and put the login into the middle of the page.
            return Response(b"", 401, {**careful_headers(), "HX-Redirect": to})
        return RedirectResponse(to, 303, careful_headers())

    async def _failure(self, request: Request, error: Exception) -> Response:
        if wants_json(request):
            raise error
        if not isinstance(error, GatewayError | Problem):
            _log.error("unexpected failure of a page", exc_info=error)
        problem = problem_of(error)
        template = "parts/failure.html" if wants_fragment(request) else "failure.html"
        return await page(
            template,
            visit=await self._visit_if_known(request),
            problem=problem,
            lacks=error.scopes if isinstance(error, PermissionDenied) else (),
        )

    async def _visit_if_known(self, request: Request) -> Visit | None:
        """For the menu of a page that says what went wrong."""
        try:
            return await self.visit(request, request.url.path)
        except (GatewayError, Problem):
            return None


def wants_fragment(request: Request) -> bool:
    """Whether htmx asks for a part of the page, and not for a whole one to go back to."""
    headers = request.headers
    return headers.get("hx-request") == "true" and "hx-history-restore-request" not in headers


def wants_json(request: Request) -> bool:
    """Whether a script of ours asks, which reads problem details."""
    return request.headers.get("accept", "").startswith("application/json")


def local_path(text: str) -> str:
    """A path of the console to go on to after the login; `/` for everything else, above all other hosts."""
    is_ours = text.startswith(("/?", "/console/")) and text.isprintable()
    return text if is_ours and not text.startswith(LOGIN) else "/"


def _path_of(url: str) -> str:
    """Path and query of a page's address."""
    rest = url.partition("://")[2]
    return "/" + rest.partition("/")[2]
