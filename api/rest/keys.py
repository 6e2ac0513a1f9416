"""`/keys`: making, listing, rotating and revoking API keys, for whoever has the scope `admin`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from starlette.routing import Route

from api.rest.dialects.fields import build, decode_object
from api.rest.exchange import read_body
from api.rest.health import json_response
from api.rest.visitor import visitor_of
from orchestrator.errors import InvalidRequest
from orchestrator.key_admin import OVERLAP_S, KeyAdmin, KeyWish, NewKey
from orchestrator.model import OwnLimits

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from orchestrator.api_keys import ApiKey
    from orchestrator.gateway import Gateway

SHOWN_ONCE = "This is the only time the key is shown."

ValueT = TypeVar("ValueT", bound=msgspec.Struct)


class _Rotation(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a rotation: how long the old key goes on opening."""

    overlap_s: float = OVERLAP_S


def routes(gateway: Gateway) -> list[Route]:
    """The routes of this file; none in a gateway without keys."""
    admin = gateway.keys
    if admin is None:
        return []

    async def keys(request: Request) -> Response:
        by = await _admin_of(gateway, request)
        if request.method == "POST":
            made = await create(admin, await _body(request, needs_one=True), by)
            return json_response(made, 201)
        return json_response(await listing(admin))

    async def key(request: Request) -> Response:
        by = await _admin_of(gateway, request)
        return json_response(await revoke(admin, request.path_params["id"], by))

    async def rotation(request: Request) -> Response:
        by = await _admin_of(gateway, request)
        made = await rotate(admin, request.path_params["id"], await _body(request, needs_one=False), by)
        return json_response(made, 201)

    return [
        Route("/keys", keys, methods=["GET", "POST"]),
        Route("/keys/{id}", key, methods=["DELETE"]),
        Route("/keys/{id}/rotate", rotation, methods=["POST"]),
    ]


async def listing(admin: KeyAdmin) -> dict[str, Any]:
    """All keys, oldest first. Raises KeysUnavailable."""
    now = time.time()
    return {"keys": [shown(key, now) for key in await admin.list()]}


async def create(admin: KeyAdmin, body: dict[str, Any], by: str) -> dict[str, Any]:
    """A new key as the body wants it, with the key itself. Raises InvalidRequest, KeysUnavailable."""
    if "client" not in body:
        raise InvalidRequest("client: is missing; it is the name of whoever holds the key.", field="client")
    fields = dict(body)
    if isinstance(fields.get("limits"), dict):
        fields["limits"] = _build(OwnLimits, fields["limits"], "limits.")
    return _made(await admin.create(_build(KeyWish, fields), by=by))


async def rotate(admin: KeyAdmin, key_id: str, body: dict[str, Any], by: str) -> dict[str, Any]:
    """The successor of a key, with the key itself. Raises KeyNotFound, InvalidRequest, KeysUnavailable."""
    wish = _build(_Rotation, body)
    return _made(await admin.rotate(key_id, overlap_s=wish.overlap_s, by=by))


async def revoke(admin: KeyAdmin, key_id: str, by: str) -> dict[str, Any]:
    """The key, ended for good. Raises KeyNotFound, KeysUnavailable."""
    return shown(await admin.revoke(key_id, by=by), time.time())


def shown(key: ApiKey, now: float) -> dict[str, Any]:
    """What may be seen of a key: all but its digest. `status` is `live`, `expired` or `revoked`."""
    fields = {name: getattr(key, name) for name in key.__struct_fields__ if name != "digest"}
    status = "live" if key.is_live(now) else "expired" if key.revoked_at is None else "revoked"
    return {**fields, "status": status}


def _made(new: NewKey) -> dict[str, Any]:
    return {"key": new.raw, "note": SHOWN_ONCE, **shown(new.key, time.time())}


def _build(kind: type[ValueT], fields: dict[str, Any], place: str = "") -> ValueT:
    """The value, all of whose fields are known and of their type. Raises InvalidRequest."""
    known = kind.__struct_fields__
    if not fields.keys() <= set(known):
        names = ", ".join(place + name for name in known)
        raise InvalidRequest(f"An unknown field was given; there are {names}.", field="body")
    return build(kind, fields, {name: place + name for name in known})


async def _body(request: Request, *, needs_one: bool) -> dict[str, Any]:
    body = await read_body(request.receive)
    return decode_object(body) if body or needs_one else {}


async def _admin_of(gateway: Gateway, request: Request) -> str:
    """The client that asks. Raises Unauthenticated, PermissionDenied, KeysUnavailable."""
    return (await gateway.principal_for(visitor_of(request.scope).caller(), "admin")).client
