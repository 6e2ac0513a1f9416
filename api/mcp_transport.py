"""The SDK's side of `/mcp`: its server over HTTP, with an answer at once and with a stream.

Apart from the endpoint because importing the SDK takes half a second and 25 MB, which a worker that nobody
asks by MCP can do without.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp

from api.mcp_calls import CALLER_KEY
from api.mcp_server import Context, mcp_server
from orchestrator import limits
from orchestrator.gateway import Gateway
from orchestrator.model import Caller

_GUARDED_BEFORE = TransportSecuritySettings(enable_dns_rebinding_protection=False)


class Transports(msgspec.Struct, frozen=True):
    """The two ways to answer a request that has passed the endpoint. A stream carries progress."""

    at_once: ASGIApp
    streaming: ASGIApp


def transports(gateway: Gateway, names: Sequence[str]) -> AbstractAsyncContextManager[Transports]:
    """Both transports of the tools of these names."""
    return served(mcp_server(gateway, _caller_of, names))


@contextlib.asynccontextmanager
async def served(server: Server[Any]) -> AsyncIterator[Transports]:
    """Both transports of a server, for as long as the context lasts; to be entered and left by one task."""
    at_once, streaming = (
        StreamableHTTPSessionManager(
            server,
            json_response=json_response,
            stateless=True,
            security_settings=_GUARDED_BEFORE,
            max_request_body_size=limits.BODY_BYTES_MAX,
        )
        for json_response in (True, False)
    )
    async with at_once.run(), streaming.run():
        yield Transports(at_once.handle_request, streaming.handle_request)


def _caller_of(context: Context) -> Caller:
    assert context.request is not None  # a message without its request has come by no way of ours
    caller: Caller = context.request.scope[CALLER_KEY]
    return caller
