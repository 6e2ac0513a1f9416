"""`/providers`: which there are, and registering, moving, disabling and removing them, for scope `admin`.

Also the list: options tell addresses inside a network, which are for those who may change them. How each
provider is doing everybody may see, at `/health`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from api.rest.plain_routes import body_of, build_known, client_with, json_response
from orchestrator.errors import InvalidRequest
from orchestrator.provider_admin import (
    ListedProvider,
    ProviderAdmin,
    ProviderChange,
    ProviderList,
    ProviderWish,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from orchestrator.gateway import Gateway


def routes(gateway: Gateway) -> list[Route]:
    """The routes of this file; none in a gateway whose list of providers is fixed."""
    admin = gateway.providers
    if admin is None:
        return []

    async def providers(request: Request) -> Response:
        by = await client_with(gateway, request, "admin")
        if request.method == "POST":
            return json_response(await register(admin, await body_of(request), by), 201)
        return json_response(await listing(admin))

    async def provider(request: Request) -> Response:
        by = await client_with(gateway, request, "admin")
        name = request.path_params["name"]
        if request.method == "DELETE":
            return json_response(await remove(admin, name, by))
        return json_response(await change(admin, name, await body_of(request), by))

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
    return await admin.register(build_known(ProviderWish, body), by=by)


async def change(
    admin: ProviderAdmin, name: str, body: dict[str, Any], by: str, *, seen: Sequence[str] = ()
) -> ListedProvider:
    """A provider with what the body changes. Raises what `ProviderAdmin.change` does."""
    return await admin.change(name, build_known(ProviderChange, body), by=by, seen=seen)


async def remove(admin: ProviderAdmin, name: str, by: str) -> ListedProvider:
    """A provider that is no more. Raises what `ProviderAdmin.remove` does."""
    return await admin.remove(name, by=by)
