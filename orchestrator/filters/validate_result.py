"""A useless answer is a failure, so that the next provider can do better.

Providers treat domain lists as wishes and return what they like; what the caller ruled out is dropped here,
whichever provider it came from, and so is what no client can use. What is left was written by strangers, and
is made harmless here (sanitise.py), once, before it is cached. An answer that was empty from the start is a
success.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Generic
from urllib.parse import urlsplit

import msgspec

from orchestrator import limits
from orchestrator.errors import ResultInvalid
from orchestrator.events import (
    FREE,
    Cost,
    ResultRejected,
)
from orchestrator.model import (
    AnswerT,
    Call,
    ExtractAnswer,
    ExtractRequest,
    Found,
    Page,
    PageFailure,
    RequestT,
    SearchAnswer,
    SearchRequest,
    SearchResult,
)
from orchestrator.ports import WEB_SCHEMES
from orchestrator.sanitise import page, plain, visible
from orchestrator.service import Service

_WISHES = ("boost", "prefer")
"""Values of `include_domains_mode` with which the caller asks for a preference and not for a filter."""


class ValidateResultFilter(Generic[RequestT, AnswerT]):
    """Drops unusable results; raises ResultInvalid when nothing is left of an answer that had some.

    `schemes` are those the URLs of this provider's results may have.
    """

    def __init__(self, schemes: frozenset[str]) -> None:
        self._schemes = schemes

    async def __call__(
        self, call: Call[RequestT], service: Service[RequestT, Found[AnswerT]]
    ) -> Found[AnswerT]:
        """The provider's answer, reduced to what the caller may see."""
        found = await service(call)
        request, answer = call.request, found.answer
        if isinstance(request, SearchRequest) and isinstance(answer, SearchAnswer):
            judged = self._search(call, request, answer, found.provider, found.cost)
            return msgspec.structs.replace(found, answer=judged)
        assert isinstance(request, ExtractRequest)
        assert isinstance(answer, ExtractAnswer)
        return msgspec.structs.replace(found, answer=await _covering(request, answer))

    def _search(
        self, call: Call[RequestT], request: SearchRequest, answer: SearchAnswer, provider: str, cost: Cost
    ) -> SearchAnswer:
        usable = list(_usable(answer.results, self._schemes))
        allowed = [result for result in usable if is_allowed(host_and_path(result.url), request)]
        _note(call, provider, "unusable", len(answer.results) - len(usable))
        _note(call, provider, "domain", len(usable) - len(allowed))
        if answer.results and not usable:
            raise ResultInvalid(
                f"{provider} answered with results that have no usable URL.",
                provider=provider,
                reason="unusable",
                cost=cost,
                assumed=FREE,
            )
        return msgspec.structs.replace(
            answer,
            results=tuple(allowed[: request.limit]),
            answer=None if answer.answer is None else plain(answer.answer, limits.CONTENT_CHARS_MAX),
            images=tuple(_images(answer.images, self._schemes)),
        )


def _note(call: Call[RequestT], provider: str, why: str, dropped: int) -> None:
    if dropped:
        call.trail.record(ResultRejected(provider=provider, reason=why, dropped=dropped))


def _usable(results: Sequence[SearchResult], schemes: frozenset[str]) -> Iterable[SearchResult]:
    """Results with a URL people can follow, each URL once, with texts within bounds."""
    seen: set[str] = set()
    for result in results:
        if result.url not in seen and is_link(result.url, schemes):
            seen.add(result.url)
            yield _harmless(result, schemes)


def is_link(url: object, schemes: frozenset[str]) -> bool:
    """Whether this is a URL that people may follow: of these schemes, and not other than it looks.

    A user name in front of the host and characters nobody sees make one URL look like another.
    """
    if not isinstance(url, str) or len(url) > limits.URL_CHARS_MAX or visible(url) != url:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return (
        parts.scheme in schemes and "@" not in parts.netloc and bool(parts.netloc or parts.scheme == "file")
    )


def _harmless(result: SearchResult, schemes: frozenset[str]) -> SearchResult:
    """The result as anybody may see it."""
    title = plain(result.title, limits.TITLE_CHARS_MAX).strip()
    raw = result.raw_content
    return msgspec.structs.replace(
        result,
        title=title or urlsplit(result.url).netloc,
        content=plain(result.content, limits.CONTENT_CHARS_MAX),
        raw_content=None if raw is None else page(raw, limits.RAW_CONTENT_CHARS_MAX),
        published_date=None if result.published_date is None else plain(result.published_date, 64),
        favicon=result.favicon if is_link(result.favicon, WEB_SCHEMES) else None,
        images=None if result.images is None else tuple(_images(result.images, schemes)),
    )


def _images(images: Iterable[Any], schemes: frozenset[str]) -> Iterable[Any]:
    """Images with a URL people may follow: plain URLs, or objects whose texts are harmless."""
    for image in images:
        if isinstance(image, dict) and is_link(image.get("url"), schemes):
            yield {
                name: plain(value, limits.CONTENT_CHARS_MAX)
                if isinstance(value, str) and name != "url"
                else value
                for name, value in image.items()
            }
        elif is_link(image, schemes):
            yield image


def host_and_path(url: str) -> str:
    """`host/path` of a URL in lower case, for comparison with domain lists."""
    parts = urlsplit(url)
    return f"{parts.hostname or ''}{parts.path.lower()}"


def is_allowed(place: str, request: SearchRequest) -> bool:
    """Whether the caller's domain lists let a result at `place` (`host/path`) through."""
    if any(matches(place, domain) for domain in request.exclude_domains):
        return False
    if not request.include_domains or request.include_domains_mode in _WISHES:
        return True
    return any(matches(place, domain) for domain in request.include_domains)


def matches(place: str, domain: str) -> bool:
    """Whether `place` (`host/path`) is at the domain: its host or one below, and below its path if any.

    `*.example.com` and `example.com` mean the same; `*.com` is every host under com.
    """
    name, _, path = domain.removeprefix("*.").partition("/")
    name = name.removeprefix("www.")
    host, _, place_path = place.partition("/")
    if host != name and not host.endswith("." + name):
        return False
    return not path or place_path == path or place_path.startswith(path.rstrip("/") + "/")


async def _covering(request: ExtractRequest, answer: ExtractAnswer) -> ExtractAnswer:
    """The answer as exactly one page or one failure per URL asked for."""
    pages = {}
    for read in answer.pages:
        pages[read.url] = _harmless_page(read)
        await asyncio.sleep(0)  # A long page takes milliseconds: others have their turn in between.
    failures = {failure.url: failure for failure in answer.failures}
    kept: list[Page] = []
    failed: list[PageFailure] = []
    for url in request.urls:
        found = pages.get(url)
        if found is not None and found.raw_content.strip():
            kept.append(found)
        else:
            failed.append(failures.get(url) or PageFailure(url=url, error="The page has no readable text."))
    return ExtractAnswer(pages=tuple(kept), failures=tuple(failed))


def _harmless_page(read: Page) -> Page:
    return msgspec.structs.replace(
        read,
        raw_content=page(read.raw_content, limits.RAW_CONTENT_CHARS_MAX),
        title=None if read.title is None else plain(read.title, limits.TITLE_CHARS_MAX).strip(),
        images=tuple(_images(read.images, WEB_SCHEMES)),
        favicon=read.favicon if is_link(read.favicon, WEB_SCHEMES) else None,
    )
