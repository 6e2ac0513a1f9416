"""`/console/keys`: who holds which API key, and making, rotating and revoking them, for scope `admin`.

Changes are those of `/keys`, by the same code. A key itself is shown once, to whoever had it made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.rest import keys as changes
from api.rest.plain_routes import body_of
from orchestrator.api_keys import SCOPES, SCOPES_DEFAULT
from orchestrator.errors import InvalidRequest
from orchestrator.principals import OwnLimits
from orchestrator.projections.fold import DAY_S, HOUR_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from api.console.visits import Console, Visit
    from api.rest.keys import MadeKey

PATH = "/console/keys"

KEYS_SHOWN = 200
"""chosen: more than most have; a page of thousands would be megabytes, made while every call waits."""

NUMBER_CHARS_MAX = 10
"""chosen: more digits than any limit there is."""

_ORDER = {"live": 0, "expired": 1, "revoked": 2}


def routes(console: Console) -> list[Route]:
    """The routes of this file; none in a gateway without keys."""
    admin = console.gateway.keys
    if admin is None:
        return []

    async def show(
        request: Request, visit: Visit, template: str, *, said: str = "", made: MadeKey | None = None
    ) -> Response:
        everything = (await changes.listing(admin)).keys
        of = request.query_params.get("of", "").strip()
        fitting = [key for key in everything if of.lower() in key.client.lower()]
        ordered = sorted(fitting, key=lambda key: (_ORDER[key.status], -key.created_at))
        return await visit.page(
            template,
            keys=ordered[:KEYS_SHOWN],
            fitting=len(fitting),
            is_long=len(everything) > KEYS_SHOWN,
            of=of,
            scopes=SCOPES,
            # With the first key whoever makes it must be able to go on here.
            usual=SCOPES_DEFAULT if everything else SCOPES,
            said=said,
            made=made,
            base=request.base_url,
        )

    async def keys(request: Request, visit: Visit) -> Response:
        if request.method != "POST":
            return await show(request, visit, "parts/keys.html" if visit.is_fragment else "keys.html")
        made = await changes.create(admin, wish_of(await body_of(request)), visit.principal.client)
        return await show(request, visit, "parts/keys.html", said=f"A key for {made.client}", made=made)

    async def key(request: Request, visit: Visit) -> Response:
        ended = await changes.revoke(admin, request.path_params["id"], visit.principal.client)
        said = f"The key {ended.id} of {ended.client} is revoked: within five seconds nothing opens with it."
        return await show(request, visit, "parts/keys.html", said=said)

    async def rotation(request: Request, visit: Visit) -> Response:
        hours = _number(await body_of(request), "overlap_h")
        wish = {} if hours is None else {"overlap_s": float(hours * HOUR_S)}
        made = await changes.rotate(admin, request.path_params["id"], wish, visit.principal.client)
        said = f"A new key for {made.client}, in place of {made.replaces}"
        return await show(request, visit, "parts/keys.html", said=said, made=made)

    return [
        console.route(PATH, keys, "admin", methods=("GET", "POST")),
        console.route(PATH + "/{id}", key, "admin", methods=("DELETE",)),
        console.route(PATH + "/{id}/rotate", rotation, "admin", methods=("POST",)),
    ]


def wish_of(form: Mapping[str, Any]) -> dict[str, Any]:
    """What the form means, as `/keys` takes it. Raises InvalidRequest."""
    limits = {name: _number(form, name) for name in OwnLimits.__struct_fields__}
    wish = {name: value for name, value in form.items() if name not in {*limits, "expires_in_days"}}
    wish.setdefault("scopes", [])  # no box is ticked: not those that a key has by default
    if (days := _number(form, "expires_in_days")) is not None:
        wish["expires_in_s"] = float(days * DAY_S)
    if given := {name: value for name, value in limits.items() if value is not None}:
        wish["limits"] = given
    return wish


def _number(form: Mapping[str, Any], name: str) -> int | None:
    """The whole number in a field, `None` if it was left empty. Raises InvalidRequest."""
    value = form.get(name)
    if value is None:
        return None
    text = str(value)
    if not (text.isascii() and text.isdigit() and len(text) <= NUMBER_CHARS_MAX):
        raise InvalidRequest(f"{name}: expected a whole number.", field=name)
    return int(text)
