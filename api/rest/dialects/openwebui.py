"""What Open WebUI asks of an external search engine and of an external web loader.

Read on 2026-11-30 in open-webui/open-webui, backend/open_webui/retrieval/web/external.py and
loaders/external_web.py: a search is `{"query", "count"}` and a list of `{"link", "title", "snippet"}`;
loading is `{"urls"}`, 20 at most, and a list of `{"page_content", "metadata"}`. Its key comes as a bearer.
Whatever goes wrong, it looks at the status alone and logs the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from api.rest.dialects.dialect import Asked, Dialect
from api.rest.dialects.fields import build, decode_object
from api.rest.dialects.found import Remembered, encoded, hits_of
from orchestrator.errors import InvalidRequest
from orchestrator.model import Attempt, ExtractRequest, Response, SearchRequest

NAME = "openwebui"

_encode = msgspec.json.Encoder().encode


class OpenWebuiError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A failure as Open WebUI's own API tells it; `code` is for programs."""

    detail: str
    code: str
    execution_id: str = ""


class _Result(msgspec.Struct, frozen=True, gc=False):
    link: msgspec.Raw
    title: msgspec.Raw
    snippet: msgspec.Raw


class _Page(msgspec.Struct, frozen=True):
    url: str
    raw_content: str
    title: str | None = None


class _Pages(msgspec.Struct, frozen=True):
    results: tuple[_Page, ...]


_decode_pages = msgspec.json.Decoder(_Pages).decode


def parse_search(body: bytes, _query_string: bytes = b"") -> Asked[SearchRequest]:
    """The search in a body; unknown fields are passed over. Raises InvalidRequest, whatever the bytes."""
    given = decode_object(body)
    if given.get("query") is None:
        raise InvalidRequest("query: Query is missing.", field="query")
    fields = {"query": given["query"]}
    if given.get("count") is not None:
        fields["max_results"] = given["count"]
    return Asked(build(SearchRequest, fields, SEARCH_WORDS))


def parse_load(body: bytes, _query_string: bytes = b"") -> Asked[ExtractRequest]:
    """The pages to load; unknown fields are passed over. Raises InvalidRequest, whatever the bytes."""
    urls = decode_object(body).get("urls")
    if urls is None:
        raise InvalidRequest("urls: URLs are missing.", field="urls")
    if isinstance(urls, str):
        urls = [urls]
    elif not isinstance(urls, list):
        raise InvalidRequest("urls: expected a string or a list of strings.", field="urls")
    return Asked(build(ExtractRequest, {"urls": urls}))


def render_search(
    asked: Asked[SearchRequest], response: Response, *, execution_id: str = "", duration_s: float = 0.0
) -> bytes:
    """The list of results."""
    return bytes(_results(response.fragment))


@Remembered
def _results(fragment: bytes) -> msgspec.Raw:
    return encoded([_Result(hit.url, hit.title, hit.content) for hit in hits_of(fragment)])


def render_load(
    asked: Asked[ExtractRequest], response: Response, *, execution_id: str = "", duration_s: float = 0.0
) -> bytes:
    """The list of pages; one that could not be read is not in it, since the format has no word for it."""
    pages = _decode_pages(b"{%b}" % response.fragment).results
    return _encode(
        [
            {
                "page_content": page.raw_content,
                "metadata": {"source": page.url, **({"title": page.title} if page.title else {})},
            }
            for page in pages
        ]
    )


def render_error(
    message: str, *, status: int, code: str, execution_id: str = "", attempts: Sequence[Attempt] = ()
) -> bytes:
    """An error in the envelope of Open WebUI's own API."""
    return _encode(OpenWebuiError(detail=message, code=code, execution_id=execution_id))


SEARCH_WORDS = {"max_results": "count"}

SEARCH = Dialect(name=NAME, parsers={"POST": parse_search}, render=render_search, words=SEARCH_WORDS)
"""What is set as the external search URL."""

LOAD = Dialect(name=NAME, parsers={"POST": parse_load}, render=render_load)
"""What is set as the external web loader URL."""
