"""What the routes for operators share: who asks, a body without surprises, an answer that nobody keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from starlette.responses import Response

from api.rest.dialects.fields import build, decode_object
from api.rest.exchange import NO_PAGE, NO_SNIFFING, read_body
from api.rest.visitor import visitor_of
from orchestrator.errors import InvalidRequest

if TYPE_CHECKING:
    from starlette.requests import Request

    from orchestrator.gateway import Gateway

CAREFUL = (NO_SNIFFING, NO_PAGE, (b"referrer-policy", b"no-referrer"))
"""What every answer says that a person may open in a browser, of the OWASP list what matters for data."""

ValueT = TypeVar("ValueT", bound=msgspec.Struct)

_encode = msgspec.json.Encoder().encode


async def client_with(gateway: Gateway, request: Request, scope: str) -> str:
    """The client that asks. Raises Unauthenticated, KeysUnavailable, PermissionDenied without the scope."""
    return (await gateway.principal_for(visitor_of(request.scope).caller(), scope)).client


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object in the body. Raises as `read_body` and `decode_object` do."""
    return decode_object(await read_body(request.receive))


def build_known(kind: type[ValueT], fields: dict[str, object], place: str = "") -> ValueT:
    """The value, all of whose fields are known and of their type. Raises InvalidRequest.

    `place` is where the fields stand in the body, such as `limits.`.
    """
    known = kind.__struct_fields__
    if not fields.keys() <= set(known):
        names = ", ".join(place + name for name in known)
        raise InvalidRequest(f"An unknown field was given; there are {names}.", field="body")
    return build(kind, fields, {name: place + name for name in known})


def json_response(content: object, status: int = 200) -> Response:
    """An answer that nobody keeps."""
    return Response(_encode(content), status, careful_headers(), media_type="application/json")


def careful_headers() -> dict[str, str]:
    """The headers of an answer that nobody keeps."""
    return {"Cache-Control": "no-store", **{name.decode(): value.decode() for name, value in CAREFUL}}
