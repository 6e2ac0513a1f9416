"""What the author of a provider plug-in imports, and all they need; these names stay.

A plug-in is a package with an entry point in the group `amos.providers`, whose object is a ProviderKind. What
the kind makes is a provider: `SearchProvider` has everything but the search itself.

    class Wiki(SearchProvider):
        async def search(self, call):
            pages = await self.get_json(call, "https://wiki.example/search", {"q": call.request.query}, Pages)
            return self.found(call.request, (result(p.title, p.url, p.text) for p in pages.pages))

docs/plugins.md goes through one from nothing; `amos providers test` says what is wrong with one. A plug-in is
trusted: it runs in the process of AMOS, with all that this may do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from orchestrator.errors import (
    GatewayError,
    InvalidRequest,
    ProviderError,
    ProviderProtocolError,
    ProviderQuotaExceeded,
    ProviderRejected,
    ProviderThrottled,
    ProviderTimeout,
    ProviderUnavailable,
    ResultInvalid,
)
from orchestrator.events import FREE, Cost
from orchestrator.model import (
    Call,
    ExtractAnswer,
    ExtractRequest,
    Found,
    Page,
    PageFailure,
    SearchAnswer,
    SearchRequest,
    SearchResult,
)
from orchestrator.ports import WEB_SCHEMES, Provider, ProviderTiming
from orchestrator.providers.registry import NoOptions, ProviderKind, Tools, Unconfigured
from orchestrator.providers.upstream import Reply, Upstream, trace_headers
from orchestrator.providers.upstream_faults import reading_answer, status_fault

__all__ = [
    "FREE",
    "WEB_SCHEMES",
    "Call",
    "Cost",
    "ExtractAnswer",
    "ExtractRequest",
    "Found",
    "GatewayError",
    "InvalidRequest",
    "NoOptions",
    "Page",
    "PageFailure",
    "Provider",
    "ProviderError",
    "ProviderKind",
    "ProviderProtocolError",
    "ProviderQuotaExceeded",
    "ProviderRejected",
    "ProviderThrottled",
    "ProviderTimeout",
    "ProviderTiming",
    "ProviderUnavailable",
    "Reply",
    "ResultInvalid",
    "SearchAnswer",
    "SearchProvider",
    "SearchRequest",
    "SearchResult",
    "Tools",
    "Unconfigured",
    "Upstream",
    "reading_answer",
    "result",
    "status_fault",
    "trace_headers",
    "unsupported",
]

T = TypeVar("T")

HONOURED = frozenset({"query", "max_results", "include_domains", "exclude_domains"})
"""Fields that need nothing of a provider: its answer is cut to their measure behind it."""

NEUTRAL = {
    "search_depth": ("basic",),
    "topic": ("general",),
    "include_domains_mode": ("restrict", "filter"),
}
"""Values that ask for nothing beyond what every search is."""

UNTOLD = frozenset({"include_usage"})
"""Unknown fields that are for AMOS and not for the provider."""


class SearchProvider:
    """A provider that searches the web, free of charge; a subclass writes `search` and changes what differs.

    `name` is the name it was registered under. `upstream` is its HTTP client, which no subclass has to use.
    """

    operations: frozenset[str] = frozenset({"search"})
    """What it offers: `search`, `extract` or both."""
    schemes: frozenset[str] = WEB_SCHEMES
    """The schemes of its results' URLs; others are dropped. Without `http` and `https` it is asked last."""
    timing: ProviderTiming | None = None
    """How long its calls may take, `None` if the operator's settings suit it."""
    honours: frozenset[str] = frozenset()
    """The fields of a SearchRequest that make a difference to it, beside those of `HONOURED`."""

    def __init__(self, name: str, tools: Tools) -> None:
        self.name = name
        self.upstream = Upstream(name, tools.clock)

    def search_estimate(self, request: SearchRequest) -> Cost:
        """The most the search can cost, known before it is made; calls nobody."""
        return FREE

    def extract_estimate(self, request: ExtractRequest) -> Cost:
        """The most the extract can cost."""
        return FREE

    async def search(self, call: Call[SearchRequest]) -> Found[SearchAnswer]:
        """Search once. Raises ProviderError subclasses only; nothing found is an empty answer.

        It never retries and sets no time limit: the stages around it do. It may be called many times at once.
        """
        raise NotImplementedError

    async def extract(self, call: Call[ExtractRequest]) -> Found[ExtractAnswer]:
        """Read pages once; not offered here."""
        raise ProviderRejected(
            f"{self.name} does not read pages.", provider=self.name, reason="not_offered", assumed=FREE
        )

    async def aclose(self) -> None:
        """Release connections. Safe to call twice."""
        await self.upstream.aclose()

    async def get_json(
        self,
        call: Call[Any],
        url: str,
        parameters: Mapping[str, Any],
        answer: type[T],
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """What the URL answers with, as a value of this type. Raises ProviderError for everything else.

        Any status but 200 is an error, by `status_fault`.
        """
        reply = await self.upstream.get(
            f"{url}?{urlencode(parameters)}", headers={**trace_headers(call), **(headers or {})}
        )
        return self._read(reply, answer)

    async def post_json(
        self,
        call: Call[Any],
        url: str,
        body: Mapping[str, Any],
        answer: type[T],
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """The same for a body of JSON."""
        sent = {**trace_headers(call), **(headers or {})}
        return self._read(await self.upstream.post_json(url, headers=sent, body=body), answer)

    def _read(self, reply: Reply, answer: type[T]) -> T:
        if reply.status != 200:
            raise status_fault(reply, self.name)
        with reading_answer(self.name):
            return msgspec.json.decode(reply.body, type=answer)

    def found(
        self,
        request: SearchRequest,
        results: Iterable[SearchResult],
        *,
        answer: str | None = None,
        cost: Cost = FREE,
        is_scored: bool = False,
    ) -> Found[SearchAnswer]:
        """The answer of these results, best first.

        Their scores are made of their rank, unless `is_scored` says that they have their own, 0 to 1. What
        was asked for and makes no difference here is named.
        """
        kept = list(results)[: request.limit]
        if not is_scored:
            kept = [msgspec.structs.replace(one, score=1 / (rank + 1)) for rank, one in enumerate(kept)]
        return Found(
            answer=SearchAnswer(results=tuple(kept), answer=answer, images=()),
            provider=self.name,
            cost=cost,
            unsupported=unsupported(request, self.honours),
        )


def result(
    title: str, url: str, content: str, *, score: float = 0.0, published_date: str | None = None
) -> SearchResult:
    """One result. HTML in title and content is stripped later; `published_date` is shown as it is."""
    return SearchResult(
        title=title, url=url, content=content, score=score, raw_content=None, published_date=published_date
    )


def unsupported(request: SearchRequest, honours: Iterable[str] = ()) -> tuple[str, ...]:
    """The fields of a request that ask for something and are not among those honoured, `HONOURED` aside."""
    honoured = HONOURED | {"extra", *honours}
    given = [
        field
        for field in request.__struct_fields__
        if field not in honoured and getattr(request, field) not in (None, False, *NEUTRAL.get(field, ()))
    ]
    return (*given, *(name for name in request.extra if name not in UNTOLD | honoured))
