"""Tavily: search and extract over its REST API, the vocabulary of which is our own; the rest is passed on.

The request goes out as the caller wrote it, so there is nothing Tavily cannot honour (`unsupported` is
empty). The keys are ours and travel as bearer tokens; whatever the caller showed us stays here.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from orchestrator.events import Cost
from orchestrator.model import (
    AnswerT,
    Call,
    ExtractAnswer,
    ExtractRequest,
    Found,
    RequestT,
    SearchAnswer,
    SearchRequest,
)
from orchestrator.ports import WEB_SCHEMES
from orchestrator.providers import tavily_wire as wire
from orchestrator.providers.key_pool import KeyPool
from orchestrator.providers.tavily_relay import TavilyRelay
from orchestrator.providers.tavily_tasks import TaskIds
from orchestrator.providers.upstream import Reply, Upstream, trace_headers
from orchestrator.providers.upstream_faults import reading_answer, status_fault
from orchestrator.relays import OPERATIONS, RelayAnswer, RelayRequest
from orchestrator.via import via_headers


class Tavily:
    """The provider `tavily`. `base_url` may have a path; `aclose` closes the upstream it was given.

    `tasks` makes the ids of researches; without it they are understood by this object only. `installation`
    is told to what answers in Tavily's place, which may be a gateway (via.py); Tavily itself learns no name.
    """

    name = "tavily"
    operations = frozenset({"search", "extract"})
    relays = frozenset(OPERATIONS)
    schemes = WEB_SCHEMES
    timing = None

    def __init__(
        self,
        upstream: Upstream,
        base_url: str,
        keys: KeyPool,
        tasks: TaskIds | None = None,
        installation: str = "",
    ) -> None:
        self._upstream = upstream
        self._base_url = base_url.rstrip("/")
        self._keys = keys
        tasks = tasks or TaskIds(secrets.token_bytes(32))
        self._installation = "" if self._base_url == wire.BASE_URL else installation
        self._relay = TavilyRelay(upstream, self._base_url, keys, tasks, self._installation)

    def search_estimate(self, request: SearchRequest) -> Cost:
        """1 credit, or 2 where the depth is or may become `advanced`."""
        return wire.search_cost(wire.search_credits(request))

    def extract_estimate(self, request: ExtractRequest) -> Cost:
        """The price if every page can be read."""
        return wire.extract_cost(request, len(set(request.urls)))

    async def search(self, call: Call[SearchRequest]) -> Found[SearchAnswer]:
        """Search once. Raises ProviderError by the status, or ProviderProtocolError."""
        return await self._ask(call, "/search", wire.search_body(call.request), wire.read_search)

    async def extract(self, call: Call[ExtractRequest]) -> Found[ExtractAnswer]:
        """Read all pages in one call. Raises ProviderError by the status, or ProviderProtocolError."""
        return await self._ask(call, "/extract", wire.extract_body(call.request), wire.read_extract)

    def relay_estimate(self, request: RelayRequest) -> Cost:
        """The most that what is passed on can be expected to cost."""
        return self._relay.estimate(request)

    async def relay(self, call: Call[RelayRequest]) -> Found[RelayAnswer]:
        """Pass the request on once. Raises ProviderError, and CallerError where the request is refused."""
        return await self._relay(call)

    async def aclose(self) -> None:
        """Close the connections. Safe to call twice."""
        await self._upstream.aclose()

    async def _ask(
        self,
        call: Call[RequestT],
        path: str,
        body: dict[str, Any],
        read: Callable[[bytes, RequestT], tuple[AnswerT, Cost]],
    ) -> Found[AnswerT]:
        reply = await self._keys.call(lambda key: self._post(call, path, key, body))
        with reading_answer(self.name):
            answer, cost = read(reply.body, call.request)
        return Found(answer=answer, provider=self.name, cost=cost)

    async def _post(self, call: Call[RequestT], path: str, key: str, body: dict[str, Any]) -> Reply:
        headers = {"Authorization": key, **trace_headers(call), **via_headers(call, self._installation)}
        reply = await self._upstream.post_json(self._base_url + path, headers=headers, body=body)
        if reply.status != 200:
            raise status_fault(reply, self.name)
        return reply
