"""Jina: web search at one host, reading pages at another.

Search returns a result list only, unless pages are asked for: that is fast and has a fixed price. Extract
reads one page a call, several at once; a page that cannot be read is a failure of that page, while a refusal
of the whole provider stops the calls not yet made.
"""

from __future__ import annotations

import asyncio
import re

from orchestrator.errors import ProviderError, ProviderRejected, ProviderThrottled, ProviderTimeout
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
)
from orchestrator.ports import WEB_SCHEMES, Clock
from orchestrator.providers import jina_reader as reader
from orchestrator.providers import jina_search as search
from orchestrator.providers.jina_faults import NAME, classify_read, classify_search
from orchestrator.providers.key_pool import KeyPool
from orchestrator.providers.upstream import Reply, Upstream, trace_headers
from orchestrator.providers.upstream_faults import reading_answer

READS_AT_ONCE = 8
"""chosen: pages read at once for one extract; 20 pages take three rounds and no more than 8 connections."""

LAST_PAGE_S = 0.25
"""chosen: so long before the deadline the missing pages are given up, so that those that were read arrive."""

USAGE_HEADER = "x-usage-tokens"
"""Jina's API description: the charge of the call, also where the body does not tell it."""

NO_RESULTS = SearchAnswer(results=(), answer=None, images=())
"""What the provider found when it found nothing."""


class Jina:
    """The provider `jina`. Both URLs are called exactly as given; `aclose` closes the upstream it was given.

    `usd_per_million_tokens` turns tokens into money; Jina's answers name tokens only.
    """

    name = NAME
    operations = frozenset({"search", "extract"})
    schemes = WEB_SCHEMES
    timing = None

    def __init__(
        self,
        upstream: Upstream,
        clock: Clock,
        keys: KeyPool,
        *,
        search_url: str = search.SEARCH_URL,
        reader_url: str = reader.READER_URL,
        usd_per_million_tokens: float = search.USD_PER_MILLION_TOKENS,
    ) -> None:
        self._upstream = upstream
        self._clock = clock
        self._keys = keys
        self._search_url = search_url
        self._reader_url = reader_url
        self._usd_per_million_tokens = usd_per_million_tokens

    def search_estimate(self, request: SearchRequest) -> Cost:
        """The fixed price, or that of typical pages if pages are asked for."""
        return self._cost(search.estimate_tokens(request))

    def extract_estimate(self, request: ExtractRequest) -> Cost:
        """The price if every page is a long one."""
        return self._cost(len(set(request.urls)) * reader.PAGE_TOKENS_MAX_TYPICAL)

    async def search(self, call: Call[SearchRequest]) -> Found[SearchAnswer]:
        """Search once. Raises ProviderError as `classify_search` says, or ProviderProtocolError."""
        request = call.request
        if request.limit == 0:
            # To Jina, `num: 0` still is a search at full price.
            return self._found(NO_RESULTS, 0, request)
        reply = await self._keys.call(lambda key: self._search(call, key))
        if reply is None:
            return self._found(NO_RESULTS, 0, request)
        with reading_answer(self.name):
            answer, tokens = search.read_search(reply.body, request)
        if tokens is None:
            tokens = _header_tokens(reply)
        return self._found(
            answer, search.formula_tokens(len(answer.results)) if tokens is None else tokens, request
        )

    async def _search(self, call: Call[SearchRequest], key: str) -> Reply | None:
        """The answer to a search with this key, `None` if nothing was found."""
        request = call.request
        reply = await self._upstream.post_json(
            self._search_url,
            headers=self._headers(call, key) | search.search_headers(request, self._remaining_s(call)),
            body=search.search_body(request, search.utc_date(self._clock.now())),
        )
        if reply.status == 200:
            return reply
        verdict = classify_search(reply)
        if isinstance(verdict, ProviderError):
            raise verdict
        return None

    async def extract(self, call: Call[ExtractRequest]) -> Found[ExtractAnswer]:
        """Read each page once, `READS_AT_ONCE` at a time, in the order asked for.

        Raises the first ProviderError of the whole provider if no page could be read; beside a page that was
        read, such an error is a failure of the pages it met.
        """
        wished = reader.read_headers(call.request, self._remaining_s(call))
        headers = trace_headers(call) | wished
        reading = _Reading(self._upstream, self._reader_url, self._keys, call, headers)
        await reading.run(self._remaining_s(call) - LAST_PAGE_S)
        refusal = reading.refusal
        if refusal is not None and not reading.pages:
            # Pages that cannot be read are billed too, and those still on their way may be.
            refusal.cost = self._cost(reading.tokens) if reading.tokens else FREE
            under_way = reading.unsettled * reader.PAGE_TOKENS_MAX_TYPICAL
            refusal.assumed = self._cost(under_way) if under_way else FREE
            raise refusal
        return Found(
            answer=ExtractAnswer(pages=reading.pages, failures=reading.failures),
            provider=self.name,
            cost=self._cost(reading.tokens),
            unsupported=reader.unsupported(call.request),
        )

    async def aclose(self) -> None:
        """Close the connections. Safe to call twice."""
        await self._upstream.aclose()

    def _headers(self, call: Call[SearchRequest], key: str) -> dict[str, str]:
        return {"Authorization": key, **trace_headers(call)}

    def _remaining_s(self, call: Call[SearchRequest] | Call[ExtractRequest]) -> float:
        return call.deadline - self._clock.monotonic()

    def _found(self, answer: SearchAnswer, tokens: int, request: SearchRequest) -> Found[SearchAnswer]:
        return Found(
            answer=answer,
            provider=self.name,
            cost=self._cost(tokens),
            unsupported=search.unsupported(request),
        )

    def _cost(self, tokens: int) -> Cost:
        # A dollar per million tokens is one micro-dollar per token.
        return Cost(amount=tokens, unit="tokens", usd_micros=round(tokens * self._usd_per_million_tokens))


class _Reading:
    """The reads of one extract: their common bound, what came of them, and what ended them early."""

    def __init__(
        self,
        upstream: Upstream,
        url: str,
        keys: KeyPool,
        call: Call[ExtractRequest],
        headers: dict[str, str],
    ) -> None:
        self._upstream = upstream
        self._url = url
        self._keys = keys
        self._headers = headers
        self._targets = tuple(dict.fromkeys(call.request.urls))
        self._places = asyncio.Semaphore(READS_AT_ONCE)
        self._outcomes: dict[str, Page | PageFailure] = {
            target: PageFailure(url=target, error=reader.UNREADABLE) for target in self._targets
        }
        self.tokens = 0
        self.unsettled = 0
        """Pages that may have been billed and whose bill did not come."""
        self.refusal: ProviderError | None = None

    @property
    def pages(self) -> tuple[Page, ...]:
        """What was read, in the order asked for."""
        outcomes = (self._outcomes[target] for target in self._targets)
        return tuple(outcome for outcome in outcomes if isinstance(outcome, Page))

    @property
    def failures(self) -> tuple[PageFailure, ...]:
        """What was not, in the order asked for."""
        outcomes = (self._outcomes[target] for target in self._targets)
        return tuple(outcome for outcome in outcomes if isinstance(outcome, PageFailure))

    async def run(self, patience_s: float) -> None:
        """Read every page, or as many as come before the provider refuses or `patience_s` have passed."""
        try:
            async with asyncio.timeout(patience_s), asyncio.TaskGroup() as reads:
                for target in self._targets:
                    reads.create_task(self._read(target))
        except TimeoutError:
            self.refusal = self.refusal or ProviderTimeout(
                f"{NAME} did not read the pages in time.", provider=NAME, reason="timeout"
            )

    async def _read(self, target: str) -> None:
        async with self._places:
            if isinstance(self.refusal, ProviderRejected | ProviderThrottled):
                # It would refuse this page too; a fault of its own (5xx) may be the other page's alone.
                return
            self.unsettled += 1
            try:
                self._outcomes[target] = await self._keys.call(lambda key: self._page(target, key))
            except ProviderError as error:
                self.refusal = self.refusal or error
                self.unsettled -= error.assumed == FREE
            else:
                self.unsettled -= 1

    async def _page(self, target: str, key: str) -> Page | PageFailure:
        headers = {"Authorization": key, **self._headers}
        reply = await self._upstream.post_json(self._url, headers=headers, body={"url": target})
        if reply.status != 200:
            verdict = classify_read(reply)
            if isinstance(verdict, ProviderError):
                raise verdict
            return PageFailure(url=target, error=reader.UNREADABLE)
        with reading_answer(NAME):
            page, tokens = reader.read_page(reply.body, target)
        self.tokens += tokens
        return page


def _header_tokens(reply: Reply) -> int | None:
    """The charge named in the header, `None` if there is none or it is not a count."""
    value = reply.headers.get(USAGE_HEADER, "")
    return search.token_count(int(value)) if re.fullmatch(r"[0-9]{1,18}", value) else None
