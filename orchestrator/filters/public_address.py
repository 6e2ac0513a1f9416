"""Asks nobody for pages whose names lead into a private network.

The provider that fetches a page stands elsewhere and resolves its name again. But a name that leads into our
network is a question about our network, and no provider should be sent to look. A name that nobody can
resolve now is passed on: the provider may know it, or will say that it does not.
"""

from __future__ import annotations

import asyncio
import ipaddress
from urllib.parse import urlsplit

import msgspec

from orchestrator.addresses import is_public, literal
from orchestrator.model import Call, ExtractAnswer, ExtractRequest, Found, PageFailure
from orchestrator.ports import NameResolver
from orchestrator.service import Service

_REFUSED = "The address is not on the public internet."


class PublicAddressFilter:
    """Resolves the hosts of all pages at once; literal addresses were judged by validation."""

    def __init__(self, names: NameResolver) -> None:
        self._names = names

    async def __call__(
        self,
        call: Call[ExtractRequest],
        service: Service[ExtractRequest, tuple[Found[ExtractAnswer], ...]],
    ) -> tuple[Found[ExtractAnswer], ...]:
        """What was found of the pages that may be asked for; the others are failures of their own."""
        hosts = dict.fromkeys(urlsplit(url).hostname or "" for url in call.request.urls)
        verdicts = dict(zip(hosts, await asyncio.gather(*map(self._is_public, hosts)), strict=True))
        refused = [url for url in call.request.urls if not verdicts[urlsplit(url).hostname or ""]]
        if not refused:
            return await service(call)
        failures = tuple(PageFailure(url=url, error=_REFUSED) for url in refused)
        answer = Found(answer=ExtractAnswer(pages=(), failures=failures), provider="")
        allowed = tuple(url for url in call.request.urls if url not in refused)
        if not allowed:
            return (answer,)
        request = msgspec.structs.replace(call.request, urls=allowed)
        return (*await service(msgspec.structs.replace(call, request=request)), answer)

    async def _is_public(self, host: str) -> bool:
        if literal(host) is not None:
            return True
        found = await self._names.addresses(host)
        return all(is_public(ipaddress.ip_address(address.partition("%")[0])) for address in found)
