"""`/console/login`: an API key is shown once and becomes a session; `/console/logout` ends it.

The key is checked by the gateway as everywhere: who tries many is told to wait, and each refusal is counted.
Both take JSON from our script, since the guard refuses forms: what a page of another origin can send is not
taken for a wish of the person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from api.console.pages import page
from api.console.session import SESSION_S_MAX
from api.console.visits import LOGIN, local_path
from api.rest.exchange import read_body
from api.rest.plain_routes import body_of, careful_headers, json_response
from api.rest.visitor import visitor_of
from orchestrator.errors import InvalidRequest

if TYPE_CHECKING:
    from starlette.requests import Request

    from api.console.visits import Console

LOGOUT = "/console/logout"

KEY_CHARS_MAX = 200
"""chosen: a key has 59 characters; some blanks around it may have been copied too."""

_ENDED = {
    "revoked_key": "The key of your session has been revoked.",
    "rotated_key": "The key of your session was replaced by a newer one.",
    "expired_key": "The key of your session has expired.",
    "unknown_key": "The key of your session is not known here any more.",
}

_NO_KEYS = (
    "There are no API keys yet, and without them AMOS answers only the person at its own machine. "
    "Make one there with `amos keys create --admin --client NAME`."
)

_WHY = {
    **_ENDED,
    **dict.fromkeys(("foreign_peer", "proxied", "public_address", "public_name", "foreign_page"), _NO_KEYS),
}
"""What the login says to whoever was sent there, by the reason of the refusal."""


def routes(console: Console) -> list[Route]:
    """The routes of this file."""

    async def login(request: Request) -> Response:
        if request.method == "POST":
            return await _begin(console, request)
        asked = request.query_params
        return await page(
            "login.html",
            visit=None,
            hours=f"{SESSION_S_MAX / 3_600:.0f}",
            next=local_path(asked.get("next", "/")),
            why=_WHY.get(asked.get("why", ""), ""),
        )

    async def logout(request: Request) -> Response:
        console.caller(request, LOGOUT)  # raises for another origin's page
        await read_body(request.receive)
        is_secure = console.is_secure(request, visitor_of(request.scope))
        return _with_cookie(console.sessions.end(is_secure=is_secure), {"next": LOGIN})

    return [
        Route(LOGIN, login, methods=["GET", "POST"], include_in_schema=False),
        Route(LOGOUT, logout, methods=["POST"], include_in_schema=False),
        Route("/console", _front, include_in_schema=False),
    ]


async def _begin(console: Console, request: Request) -> Response:
    """The session of whoever shows a good key. Raises as `principal_for` does, and InvalidRequest."""
    given = await body_of(request)
    key, to = given.get("key"), given.get("next", "/")
    if not isinstance(key, str) or not isinstance(to, str) or len(key) > KEY_CHARS_MAX:
        raise InvalidRequest("key: expected an API key.", field="key")
    # The key counts that was typed: before one in a header, and before an older session.
    caller = msgspec.structs.replace(console.caller(request, LOGIN), credential=key.strip())
    principal = await console.gateway.principal_for(caller)
    if not principal.key_id:  # there are no keys, and this is the person at this machine
        return json_response({"next": local_path(to)})
    is_secure = console.is_secure(request, visitor_of(request.scope))
    return _with_cookie(
        console.sessions.begin(principal.key_id, is_secure=is_secure), {"next": local_path(to)}
    )


def _with_cookie(cookie: str, content: object) -> Response:
    answer = json_response(content)
    answer.headers["Set-Cookie"] = cookie
    return answer


async def _front(_request: Request) -> Response:
    return RedirectResponse("/", 303, careful_headers())
