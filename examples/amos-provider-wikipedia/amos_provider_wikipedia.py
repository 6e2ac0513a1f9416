"""A provider for AMOS: searches Wikipedia, or any other wiki on MediaWiki, over its REST API."""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from orchestrator import plugin


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The wiki's address, and that of whoever asks, which Wikimedia wants to know."""

    url: str = "https://en.wikipedia.org"
    contact: str = "unknown"


class Hit(msgspec.Struct):
    """A page that was found. The excerpt is HTML."""

    key: str
    title: str
    excerpt: str | None = None


class Hits(msgspec.Struct):
    """The answer of the wiki."""

    pages: list[Hit]


class Wikipedia(plugin.SearchProvider):
    """One wiki. It knows no filters, so what a caller asks for beyond words is named as unsupported."""

    def __init__(self, name: str, options: Options, tools: plugin.Tools) -> None:
        super().__init__(name, tools)
        self.url = options.url.rstrip("/")
        self.headers = {"User-Agent": f"amos ({options.contact})"}

    async def search(self, call: plugin.Call[plugin.SearchRequest]) -> plugin.Found[plugin.SearchAnswer]:
        """Search titles and texts of all pages."""
        asked = {"q": call.request.query, "limit": max(call.request.limit, 1)}
        address = f"{self.url}/w/rest.php/v1/search/page"
        hits = await self.get_json(call, address, asked, Hits, self.headers)
        return self.found(call.request, map(self.result_of, hits.pages))

    def result_of(self, hit: Hit) -> plugin.SearchResult:
        """A page as AMOS shows it."""
        return plugin.result(hit.title, f"{self.url}/wiki/{quote(hit.key)}", hit.excerpt or "")


WIKIPEDIA = plugin.ProviderKind(summary="Searches a wiki on MediaWiki.", options=Options, make=Wikipedia)
