"""`/providers`: which there are, and registering, moving, disabling and removing them, for scope `admin`.

Also the list: options tell addresses inside a network, which are for those who may change them. How each
provider is doing everybody may see, at `/health`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from starlette.routing import Route

from api.rest.dialects.fields import build, decode_object
from api.rest.exchange import read_body
from api.rest.health import json_response
from api.rest.visitor import visitor_of
from orchestrator.errors import InvalidRequest
from orchestrator.provider_admin import (
    ListedProvider,
    ProviderAdmin,
    ProviderChange,
    ProviderList,
    ProviderWish,
)

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from orchestrator.gateway import Gateway

ValueT = TypeVar("ValueT", bound=msgspec.Struct)


def routes(gateway: Gateway) -> list[Route]:
    """The routes of this file; none in a gateway whose list of providers is fixed."""
    admin = gateway.providers
    if admin is None:
        return []

    async def providers(request: Request) -> Response:
        by = await _admin_of(gateway, request)
        if request.method == "POST":
            return json_response(
                await register(admin, decode_object(await read_body(request.receive)), by), 201
            )
        return json_response(await listing(admin))

    async def provider(request: Request) -> Response:
        by = await _admin_of(gateway, request)
        name = request.path_params["name"]
        if request.method == "DELETE":
            return json_response(await remove(admin, name, by))
        return json_response(await change(admin, name, decode_object(await read_body(request.receive)), by))

    return [
        Route("/providers", providers, methods=["GET", "POST"]),
        Route("/providers/{name}", provider, methods=["PATCH", "DELETE"]),
    ]


async def listing(admin: ProviderAdmin) -> ProviderList:
    """All providers in the order in which they are asked, and the kinds there are."""
    return ProviderList(admin.list(), await admin.kinds())


async def register(admin: ProviderAdmin, body: dict[str, Any], by: str) -> ListedProvider:
    """A new provider as the body wants it. Raises what `ProviderAdmin.register` does."""
    for name, what in (("name", "what the provider is called"), ("kind", "`GET /providers` lists the kinds")):
        if name not in body:
            raise InvalidRequest(f"{name}: is missing; {what}.", field=name)
    return await admin.register(_build(ProviderWish, body), by=by)


async def change(admin: ProviderAdmin, name: str, body: dict[str, Any], by: str) -> ListedProvider:
    """A provider with what the body changes. Raises what `ProviderAdmin.change` does."""
    return await admin.change(name, _build(ProviderChange, body), by=by)


async def remove(admin: ProviderAdmin, name: str, by: str) -> ListedProvider:
    """A provider that is no more. Raises what `ProviderAdmin.remove` does."""
    return await admin.remove(name, by=by)


def _build(kind: type[ValueT], fields: dict[str, Any]) -> ValueT:
    """The value, all of whose fields are known and of their type. Raises InvalidRequest."""
    known = kind.__struct_fields__
    if not fields.keys() <= set(known):
        raise InvalidRequest(f"An unknown field was given; there are {', '.join(known)}.", field="body")
    return build(kind, fields)


async def _admin_of(gateway: Gateway, request: Request) -> str:
    """The client that asks. Raises Unauthenticated, PermissionDenied, KeysUnavailable."""
    return (await gateway.principal_for(visitor_of(request.scope).caller(), "admin")).client
