"""`/keys`: making, listing, rotating and revoking API keys, for whoever has the scope `admin`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from starlette.routing import Route

from api.openapi.operation import Answer, Body, Link, Operation, Shape
from api.rest.dialects.fields import decode_object
from api.rest.exchange import read_body
from api.rest.plain_routes import build_known, client_with, json_response
from orchestrator.api_keys import CLIENT_CHARS_MAX, SCOPES
from orchestrator.errors import InvalidRequest, KeyNotFound
from orchestrator.key_admin import (
    LIFETIME_S_MAX,
    LIMIT_MAX,
    OVERLAP_S,
    OVERLAP_S_MAX,
    KeyAdmin,
    KeyWish,
    NewKey,
)
from orchestrator.principals import OwnLimits

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from orchestrator.api_keys import ApiKey
    from orchestrator.gateway import Gateway

SHOWN_ONCE = "This is the only time the key is shown."


class Rotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a rotation: how long the old key goes on opening, in seconds."""

    overlap_s: float = OVERLAP_S


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    """What may be seen of a key: all but its digest. Moments are epoch seconds, null what never was.

    `replaces` is the id of the key it takes the place of; `limits` null are everybody's.
    """

    id: str
    client: str
    scopes: tuple[str, ...]
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    replaces: str | None
    last_used_at: float | None
    limits: OwnLimits | None
    status: Literal["live", "expired", "revoked"]


class MadeKey(KeyView, frozen=True, kw_only=True):
    """A key that was just made: `key` is the key itself."""

    key: str
    note: str = SHOWN_ONCE


class KeyList(msgspec.Struct, frozen=True):
    """All keys, oldest first."""

    keys: tuple[KeyView, ...]


_LIMIT = {"minimum": 1, "maximum": LIMIT_MAX}

_LIMITS = Shape(
    name="WishedLimits",
    kind=OwnLimits,
    fields=dict.fromkeys(OwnLimits.__struct_fields__, _LIMIT),
    rules={"additionalProperties": False},
)

_WISH = Shape(
    name="KeyWish",
    kind=KeyWish,
    description="What the new key shall be.",
    fields={
        "client": {
            "description": "The name of its holder, as reports show it; several keys may have the same.",
            "pattern": f"^[A-Za-z0-9][A-Za-z0-9._@-]{{0,{CLIENT_CHARS_MAX - 1}}}$",
            "not": {"pattern": "^(?i:local|anonymous|amos_live_.*)$"},
        },
        "scopes": {
            "description": "What it may do.",
            "minItems": 1,
            "items": {"type": "string", "enum": list(SCOPES)},
        },
        "expires_in_s": {
            "description": "Seconds until it ends; null never.",
            "exclusiveMinimum": 0,
            "maximum": LIFETIME_S_MAX,
        },
        "limits": {
            "description": "Limits of its own in place of everybody's.",
            "anyOf": [_LIMITS, {"type": "null"}],
        },
    },
)

_MADE = {
    "id": "et3TmRsRXHyo",
    "client": "team-search",
    "scopes": ["search"],
    "created_at": 1796040000.0,
    "expires_at": 1803816000.0,
    "revoked_at": None,
    "replaces": None,
    "last_used_at": None,
    "limits": None,
    "status": "live",
}

_ID = {
    "id": {
        "description": "The id of the key, not the key itself.",
        "schema": {"type": "string"},
        "example": _MADE["id"],
    }
}

_NEXT = {
    "rotate": Link("rotate_key", {"id": "$response.body#/id"}, "Make its successor."),
    "revoke": Link("revoke_key", {"id": "$response.body#/id"}, "End it."),
}

TAG = "Keys"

OPERATIONS = (
    Operation(
        method="GET",
        path="/keys",
        id="keys",
        tag=TAG,
        summary="All keys",
        scopes=("admin",),
        answers=(Answer(KeyList, "Oldest first.", headers=("Cache-Control",), example={"keys": [_MADE]}),),
    ),
    Operation(
        method="POST",
        path="/keys",
        id="create_key",
        tag=TAG,
        summary="Make a key",
        scopes=("admin",),
        body=Body(
            _WISH,
            "What it shall be.",
            {"for a team": {"client": "team-search", "scopes": ["search"], "expires_in_s": 7776000}},
        ),
        answers=(Answer(MadeKey, "The key, shown this once.", 201, headers=("Cache-Control",), links=_NEXT),),
    ),
    Operation(
        method="DELETE",
        path="/keys/{id}",
        id="revoke_key",
        tag=TAG,
        summary="Revoke a key",
        description="Again is no error.",
        scopes=("admin",),
        path_parameters=_ID,
        answers=(Answer(KeyView, "It is revoked.", headers=("Cache-Control",)),),
        errors=(KeyNotFound,),
        refusals=("not_found",),
    ),
    Operation(
        method="POST",
        path="/keys/{id}/rotate",
        id="rotate_key",
        tag=TAG,
        summary="Make a successor of a key",
        description="With the same client, scopes, lifetime and limits. A key that has ended, or has a "
        "successor already, is refused.",
        scopes=("admin",),
        path_parameters=_ID,
        body=Body(
            Shape(
                name="Rotation",
                kind=Rotation,
                fields={"overlap_s": {"minimum": 0, "maximum": OVERLAP_S_MAX}},
            ),
            "How long both open; without a body a day.",
            {"an hour": {"overlap_s": 3600}},
            is_required=False,
        ),
        answers=(
            Answer(MadeKey, "The successor, shown this once.", 201, headers=("Cache-Control",), links=_NEXT),
        ),
        errors=(KeyNotFound,),
        refusals=("not_found",),
    ),
)


def routes(gateway: Gateway) -> list[Route]:
    """The routes of this file; none in a gateway without keys."""
    admin = gateway.keys
    if admin is None:
        return []

    async def keys(request: Request) -> Response:
        by = await client_with(gateway, request, "admin")
        if request.method == "POST":
            made = await create(admin, await _body(request, needs_one=True), by)
            return json_response(made, 201)
        return json_response(await listing(admin))

    async def key(request: Request) -> Response:
        by = await client_with(gateway, request, "admin")
        return json_response(await revoke(admin, request.path_params["id"], by))

    async def rotation(request: Request) -> Response:
        by = await client_with(gateway, request, "admin")
        made = await rotate(admin, request.path_params["id"], await _body(request, needs_one=False), by)
        return json_response(made, 201)

    return [
        Route("/keys", keys, methods=["GET", "POST"]),
        Route("/keys/{id}", key, methods=["DELETE"]),
        Route("/keys/{id}/rotate", rotation, methods=["POST"]),
    ]


async def listing(admin: KeyAdmin) -> KeyList:
    """All keys, oldest first. Raises KeysUnavailable."""
    now = time.time()
    return KeyList(tuple(shown(key, now) for key in await admin.list()))


async def create(admin: KeyAdmin, body: dict[str, Any], by: str) -> MadeKey:
    """A new key as the body wants it, with the key itself. Raises InvalidRequest, KeysUnavailable."""
    if "client" not in body:
        raise InvalidRequest("client: is missing; it is the name of whoever holds the key.", field="client")
    fields = dict(body)
    if isinstance(fields.get("limits"), dict):
        fields["limits"] = build_known(OwnLimits, fields["limits"], "limits.")
    return _made(await admin.create(build_known(KeyWish, fields), by=by))


async def rotate(admin: KeyAdmin, key_id: str, body: dict[str, Any], by: str) -> MadeKey:
    """The successor of a key, with the key itself. Raises KeyNotFound, InvalidRequest, KeysUnavailable."""
    wish = build_known(Rotation, body)
    return _made(await admin.rotate(key_id, overlap_s=wish.overlap_s, by=by))


async def revoke(admin: KeyAdmin, key_id: str, by: str) -> KeyView:
    """The key, ended for good. Raises KeyNotFound, KeysUnavailable."""
    return shown(await admin.revoke(key_id, by=by), time.time())


def shown(key: ApiKey, now: float) -> KeyView:
    """What may be seen of a key."""
    return KeyView(**_seen(key, now))


def _made(new: NewKey) -> MadeKey:
    return MadeKey(key=new.raw, **_seen(new.key, time.time()))


def _seen(key: ApiKey, now: float) -> dict[str, Any]:
    fields = {name: getattr(key, name) for name in key.__struct_fields__ if name != "digest"}
    status = "live" if key.is_live(now) else "expired" if key.revoked_at is None else "revoked"
    return {**fields, "status": status}


async def _body(request: Request, *, needs_one: bool) -> dict[str, Any]:
    body = await read_body(request.receive)
    return decode_object(body) if body or needs_one else {}
