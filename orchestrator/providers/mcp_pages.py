"""Reading pages with a tool of a remote MCP server: a call for all of them, or a call a page.

Which it is the template says: `{urls}` or `{url}`. A page that the tool cannot read is a failure of that
page; a server that will not serve us stops the calls not yet made. A page may be plain text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from orchestrator.errors import ProviderError, ProviderProtocolError, ProviderTimeout
from orchestrator.events import FREE, Cost
from orchestrator.model import ExtractAnswer, Page, PageFailure
from orchestrator.providers.mcp_results import FIELDS, first_list, text_of, values_of
from orchestrator.providers.mcp_wire import ToolResult

READS_AT_ONCE = 4
"""chosen: calls for one extract at once; a remote server is likelier than Jina to be somebody's own."""

LAST_PAGE_S = 0.25
"""chosen: so long before the deadline the missing pages are given up, so that those that were read arrive."""

UNREADABLE = "The page could not be read."
"""What a caller is told of a page."""

OF_THE_PAGE = frozenset({"tool_failed", "tool_unavailable"})
"""Reasons that speak of one page or its site, and not of the server. Such a call has its price."""

TEXTS = ("raw_content", "markdown", "content", "text", "body")
"""Names by which the text of a page goes."""

Read = Callable[[Sequence[str]], Awaitable[ToolResult]]
"""Calls the tool for these pages. Raises ProviderError."""


async def read_together(provider: str, urls: Sequence[str], read: Read) -> ExtractAnswer:
    """The pages of one call for all. Raises ProviderError, also for an answer that is no list of pages."""
    found = first_list(values_of(await read(urls)))
    if found is None:
        raise ProviderProtocolError(
            f"The tool of {provider} has no list of pages in its answer.",
            provider=provider,
            reason="no_results_list",
        )
    items = {text_of(item, FIELDS["url"]): item for item in found if isinstance(item, Mapping)}
    pages = {url: page for url in urls if (page := _page(items.get(url), url)) is not None}
    return _answer(urls, pages)


class PageReads:
    """The calls of one extract, a page each: what came of them, and what ended them early."""

    def __init__(self, provider: str, urls: Sequence[str], read: Read, price: Cost) -> None:
        self._provider = provider
        self._urls = urls
        self._read = read
        self._price = price
        self._places = asyncio.Semaphore(READS_AT_ONCE)
        self._pages: dict[str, Page] = {}
        self._refusal: ProviderError | None = None
        self._answered = 0
        self._unsettled = 0
        """Calls that may have been billed and whose answer did not come."""

    @property
    def cost(self) -> Cost:
        """What the calls that were answered cost."""
        return times(self._price, self._answered)

    async def run(self, patience_s: float) -> ExtractAnswer:
        """Read every page, or as many as come before the server refuses or `patience_s` have passed.

        Raises the first ProviderError of the whole server if no page could be read.
        """
        try:
            async with asyncio.timeout(patience_s), asyncio.TaskGroup() as reads:
                for url in self._urls:
                    reads.create_task(self._one(url))
        except TimeoutError:
            words = f"{self._provider} did not read the pages in time."
            self._refuse(ProviderTimeout(words, provider=self._provider, reason="timeout"))
        if self._refusal is not None and not self._pages:
            self._refusal.cost = self.cost
            self._refusal.assumed = times(self._price, self._unsettled)
            raise self._refusal
        return _answer(self._urls, self._pages)

    def _refuse(self, error: ProviderError) -> None:
        self._refusal = self._refusal or error

    async def _one(self, url: str) -> None:
        async with self._places:
            if self._refusal is not None:
                return
            self._unsettled += 1
            try:
                page = _alone(await self._read([url]), url)
            except ProviderError as error:
                if error.reason in OF_THE_PAGE:
                    self._answered += 1
                else:
                    self._refuse(error)
                self._unsettled -= error.reason in OF_THE_PAGE or error.assumed == FREE
            else:
                self._unsettled -= 1
                self._answered += 1
                if page is not None:
                    self._pages[url] = page


def _answer(urls: Sequence[str], pages: Mapping[str, Page]) -> ExtractAnswer:
    return ExtractAnswer(
        pages=tuple(pages[url] for url in urls if url in pages),
        failures=tuple(PageFailure(url=url, error=UNREADABLE) for url in urls if url not in pages),
    )


def times(price: Cost, count: int) -> Cost:
    """The price of so many calls."""
    if not count:
        return FREE
    return Cost(amount=price.amount * count, unit=price.unit, usd_micros=price.usd_micros * count)


def _alone(result: ToolResult, url: str) -> Page | None:
    """The one page of an answer, which may be an object, a list of one, or text; `None` if it has no text."""
    values = values_of(result)
    listed = first_list(values)
    candidates = [*(listed or ()), *values]
    pages = (_page(one, url) for one in candidates if isinstance(one, Mapping))
    found = next((page for page in pages if page is not None), None)
    if found is not None or values:
        return found
    text = "\n\n".join(block.text for block in result.content if block.type == "text" and block.text)
    return Page(url=url, raw_content=text) if text.strip() else None


def _page(item: Any, url: str) -> Page | None:
    """The page that an object holds, `None` if it holds no text."""
    text = text_of(item, TEXTS) if isinstance(item, Mapping) else ""
    if not text.strip():
        return None
    return Page(url=url, raw_content=text, title=text_of(item, FIELDS["title"]) or None)
