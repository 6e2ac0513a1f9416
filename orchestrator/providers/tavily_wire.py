"""Tavily's wire format: what a request becomes, and what an answer means. Pure; tavily.py does the talking.

The answer types are tolerant on purpose: Tavily adds fields every few weeks, has changed the shape of
`images` twice, and documents `response_time` as a string while sending a number. What we do not need is not
declared, so it cannot break an answer; what may have several shapes is `Any` and looked at with care.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from orchestrator import limits
from orchestrator.events import Cost
from orchestrator.model import (
    ExtractAnswer,
    ExtractRequest,
    Page,
    PageFailure,
    SearchAnswer,
    SearchRequest,
    SearchResult,
)
from orchestrator.providers.billing import billed_amount

BASE_URL = "https://api.tavily.com"
"""Tavily's API description: one host, no version prefix."""

USD_MICROS_PER_CREDIT = 8_000
"""Tavily's price list: pay-as-you-go costs USD 0.008 a credit (docs.tavily.com, api-credits, read in
2026)."""

EXTRACT_CREDITS = {"basic": 0.2, "advanced": 0.4}
"""Tavily's price list: 1 or 2 credits for 5 pages that were read. Its counter runs across calls, so
`usage.credits` of one call may be 0 or the price of five: the fifth part a page is right in the sum."""

EXTRACT_TIMEOUT_S = (1.0, 60.0)
"""Tavily's API description: the range of `timeout` of an extract."""

NEVER_SENT = frozenset({"api_key"})
"""Unknown fields that are not passed on: a caller's credential is for us."""

UNREADABLE = "The page could not be read."
"""What a caller is told about a failed page; the upstream's own words are not repeated."""


# --- requests -----------------------------------------------------------------------------------------------


def search_body(request: SearchRequest) -> dict[str, Any]:
    """The JSON of a search: what the caller gave, unknown fields included; the price is asked for."""
    body = _given(request)
    if request.max_results is not None:
        body["max_results"] = request.limit
    return {**body, "include_usage": True}


def extract_body(request: ExtractRequest) -> dict[str, Any]:
    """The JSON of an extract. Each URL is sent once; `timeout` is the caller's, within Tavily's range."""
    body = _given(request)
    body["urls"] = list(dict.fromkeys(request.urls))
    patience_s = body.pop("timeout_s", None)
    if patience_s is not None:
        shortest, longest = EXTRACT_TIMEOUT_S
        body["timeout"] = min(max(patience_s, shortest), longest)
    return {**body, "include_usage": True}


def _given(request: SearchRequest | ExtractRequest) -> dict[str, Any]:
    """The fields that were given; an empty list of domains means "no filter" and is left out."""
    fields = msgspec.structs.asdict(request)
    extra = {name: value for name, value in fields.pop("extra").items() if name not in NEVER_SENT}
    return extra | {name: value for name, value in fields.items() if value is not None and value != ()}


# --- answers ------------------------------------------------------------------------------------------------


class _Result(msgspec.Struct):
    title: str | None = None
    url: str | None = None
    content: str | None = None
    score: float | None = None
    raw_content: str | None = None
    published_date: str | None = None
    favicon: str | None = None
    id: Any = None
    images: Any = None


class _Search(msgspec.Struct):
    results: list[_Result]
    answer: str | None = None
    images: Any = None
    auto_parameters: Any = None
    usage: Any = None


class _Page(msgspec.Struct):
    url: str | None = None
    raw_content: str | None = None
    title: str | None = None
    images: Any = None
    favicon: str | None = None


class _Extract(msgspec.Struct):
    results: list[_Page]
    failed_results: Any = None


_SEARCH = msgspec.json.Decoder(_Search, strict=False)
_EXTRACT = msgspec.json.Decoder(_Extract, strict=False)


def read_search(body: bytes, request: SearchRequest) -> tuple[SearchAnswer, Cost]:
    """The answer and its price. Raises msgspec.DecodeError (ValidationError for the wrong shape).

    A result without a URL is nothing a caller can use and is left out; other missing strings become `""`. A
    missing score, or one that is no number, is the one before it, so that the order stays.
    """
    found = _SEARCH.decode(body)
    results: list[SearchResult] = []
    score = 1.0
    for result in found.results:
        if result.score is not None and math.isfinite(result.score):
            score = min(max(result.score, 0.0), 1.0)
        if result.url:
            results.append(_result(result, result.url, score))
    auto_parameters = found.auto_parameters if isinstance(found.auto_parameters, dict) else None
    answer = SearchAnswer(
        results=tuple(results),
        answer=found.answer,
        images=_images(found.images),
        auto_parameters=auto_parameters,
    )
    return answer, search_cost(_credits(found.usage, request, auto_parameters))


def _result(result: _Result, url: str, score: float) -> SearchResult:
    return SearchResult(
        title=result.title or "",
        url=url,
        content=result.content or "",
        score=score,
        raw_content=result.raw_content,
        published_date=result.published_date,
        favicon=result.favicon,
        id=result.id if isinstance(result.id, str) else None,
        images=None if result.images is None else _images(result.images),
    )


def _images(images: Any) -> tuple[Any, ...]:
    """Images in any of their shapes: null, URL strings, objects with a URL. Anything else is left out."""
    if not isinstance(images, list):
        return ()
    return tuple(
        image
        for image in images
        if isinstance(image, str) or (isinstance(image, dict) and isinstance(image.get("url"), str))
    )


def read_extract(body: bytes, request: ExtractRequest) -> tuple[ExtractAnswer, Cost]:
    """Pages and failures, which together cover the URLs asked for. Raises msgspec.DecodeError.

    Pages nobody asked for are left out; a page that came back under another spelling of its URL is
    recognised.
    """
    pages = {
        _url_key(page.url): page for page in _EXTRACT.decode(body).results if page.url and page.raw_content
    }
    read: list[Page] = []
    failed: list[PageFailure] = []
    for url in dict.fromkeys(request.urls):
        page = pages.get(_url_key(url))
        if page is None or not page.raw_content:
            failed.append(PageFailure(url=url, error=UNREADABLE))
        else:
            read.append(_page(page, url, page.raw_content))
    return ExtractAnswer(pages=tuple(read), failures=tuple(failed)), extract_cost(request, len(read))


def _page(page: _Page, url: str, raw_content: str) -> Page:
    return Page(
        url=url,
        raw_content=raw_content,
        title=page.title,
        images=tuple(_image_urls(_images(page.images))),
        favicon=page.favicon,
    )


def _image_urls(images: Iterable[str | Mapping[str, Any]]) -> Iterable[str]:
    return (image if isinstance(image, str) else image["url"] for image in images)


def _url_key(url: str) -> tuple[str, ...]:
    """A URL without the differences that a fetcher introduces: case of the host, last slash, fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return (url,)
    return (parts.scheme.lower(), parts.netloc.lower(), parts.path.rstrip("/"), parts.query)


# --- prices -------------------------------------------------------------------------------------------------


def search_credits(request: SearchRequest) -> int:
    """The most that a search can cost: 2 for `advanced`, also where Tavily may choose that depth, else 1."""
    may_choose = bool(request.auto_parameters) and request.search_depth is None
    return 2 if request.depth == "advanced" or may_choose else 1


def search_cost(credits_: float) -> Cost:
    """A number of credits with its price."""
    return Cost(amount=credits_, unit="credits", usd_micros=round(credits_ * USD_MICROS_PER_CREDIT))


def extract_cost(request: ExtractRequest, page_count: int) -> Cost:
    """The price of that many pages read; failed ones are free."""
    return search_cost(round(EXTRACT_CREDITS.get(request.depth, EXTRACT_CREDITS["advanced"]) * page_count, 1))


def _credits(usage: Any, request: SearchRequest, auto_parameters: Mapping[str, Any] | None) -> float:
    """What was billed, else what the price list says of the depth that was used."""
    told = usage.get("credits") if isinstance(usage, dict) else None
    billed = billed_amount(told, limits.BILLED_CREDITS_MAX)
    if billed is not None:
        return billed
    if request.search_depth is None and auto_parameters and "search_depth" in auto_parameters:
        return 2 if auto_parameters["search_depth"] == "advanced" else 1
    return search_credits(request)
