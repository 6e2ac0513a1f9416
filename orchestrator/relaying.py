"""Passes a request on to the one provider that can answer it, and makes its answer ours.

There is nobody to fall back to and nothing to ask again: what such a call costs is more than a second try is
worth. What strangers wrote in the answer is made harmless here, as that of a search is.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from orchestrator.addresses import is_public, literal
from orchestrator.errors import AllProvidersFailed, DeadlineExceeded, InvalidRequest, NotOffered
from orchestrator.fallback import Fallback
from orchestrator.filters.validate_relay import full_url
from orchestrator.model import Call, Found, Response
from orchestrator.outcome import is_late
from orchestrator.ports import NameResolver
from orchestrator.relay_stream import HarmlessStream, harmless
from orchestrator.relays import OF_PAGES, RELAYED, RESEARCH_STATUS, RelayAnswer, RelayRequest
from orchestrator.service import Service

_encode = msgspec.json.Encoder().encode

_PATHS = {RESEARCH_STATUS: "research"}


class RelayAddressFilter:
    """Passes nothing on that begins in a private network: no provider should be sent to look into ours.

    The spelling was judged by validation; what is resolved here is a name. One that nobody can resolve now is
    passed on: the provider may know it.
    """

    def __init__(self, names: NameResolver) -> None:
        self._names = names

    async def __call__(self, call: Call[RelayRequest], service: Service[RelayRequest, Response]) -> Response:
        """Answer as the inner stages do. Raises InvalidRequest."""
        if call.request.operation in OF_PAGES:
            host = urlsplit(full_url(call.request.body["url"])).hostname or ""
            if literal(host) is None:
                found = await self._names.addresses(host)
                if not all(is_public(ipaddress.ip_address(one.partition("%")[0])) for one in found):
                    raise InvalidRequest("url: The address is not on the public internet.", field="url")
        return await service(call)


class Relaying:
    """The service: asks whoever takes the operation now. `chains` tells who that is."""

    def __init__(self, chains: Mapping[str, Fallback[RelayRequest, RelayAnswer]]) -> None:
        self._chains = chains

    async def __call__(self, call: Call[RelayRequest]) -> Found[RelayAnswer]:
        """What the provider answered. Raises CallerError, DeadlineExceeded, AllProvidersFailed."""
        operation = call.request.operation
        chain = self._chains.get(operation)
        if chain is None:
            raise NotOffered(
                f"AMOS does not answer /{_PATHS.get(operation, operation)} itself; it goes on to Tavily, "
                "which is not configured here: TAVILY_API_KEY must be set, and tavily be among the providers."
            )
        stream = None if call.request.sink is None else HarmlessStream(call.request.sink)
        if stream is not None:
            call = msgspec.structs.replace(call, request=msgspec.structs.replace(call.request, sink=stream))
        try:
            (found,) = await chain(call)
        except AllProvidersFailed as failure:
            if is_late(failure):
                raise DeadlineExceeded(
                    f"Tavily gave no answer to {operation} in time.", retry_after_s=failure.retry_after_s
                ) from failure
            raise
        if stream is not None:
            await stream.end()
        return found


async def response_of(found: Found[RelayAnswer]) -> Response:
    """The answer on its way out, made harmless and encoded."""
    content = await _harmless_object(found.answer.content)
    return Response(
        fragment=_encode(content)[1:-1],
        result_count=found.answer.count,
        provider=found.provider,
        cache=RELAYED,
        is_pending=found.answer.is_pending,
        cost=found.cost,
        attempts=found.attempts,
    )


async def _harmless_object(content: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, list):
            items = []
            for item in value:
                items.append(harmless(item))
                await asyncio.sleep(0)  # A long page takes milliseconds: others have their turn in between.
            made[name] = items
        else:
            made[name] = harmless(value)
    return made
