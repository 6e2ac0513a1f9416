"""A useless answer is a failure, so that the next provider can do better.

Providers treat domain lists as wishes and return what they like; what the caller ruled out is dropped here,
whichever provider it came from, and so is what no client can use. What is left was written by strangers, and
is made harmless here (sanitise.py), once, before it is cached. What is counted as a result is what is left
then. An answer that was empty from the start is a success.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeGuard
from urllib.parse import urlsplit

import msgspec

from orchestrator import limits
from orchestrator.error_pages import is_error_page
from orchestrator.errors import ResultInvalid
from orchestrator.events import (
    FREE,
    Cost,
    ResultRejected,
)
from orchestrator.links import canonical_link
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


NO_TEXT = "The page has no readable text."
ERROR_PAGE = "The page answered with an error or a challenge instead of its text."

DROPPED = ("unusable", "empty", "error_page", "duplicate", "domain")
"""Why a result is dropped: its URL is none that people can follow; it has neither title nor text; it is the
page of an error or a challenge; a result before it leads to the same page; the caller ruled its host out."""


class ResultPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """With fewer than `min(limit, results_min)` useful results the next provider is asked, once.

    `limit` is what the caller asked for. The better of the two answers is given: the one that has more, up to
    that number, or else the first. chosen: 1, because a second search costs as much as the first, and few
    results are what a narrow question has.
    """

    results_min: int = 1

    def wanted(self, request: SearchRequest) -> int:
        """How many results are enough."""
        return min(request.limit, self.results_min)


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
        covering, error_pages = await _covering(request, answer)
        _note(call, found.provider, "error_page", error_pages)
        return msgspec.structs.replace(found, answer=covering)

    def _search(
        self, call: Call[RequestT], request: SearchRequest, answer: SearchAnswer, provider: str, cost: Cost
    ) -> SearchAnswer:
        dropped: Counter[str] = Counter()
        kept = list(_useful(answer.results, self._schemes, request, dropped))
        for why in DROPPED:
            _note(call, provider, why, dropped[why])
        if answer.results and not kept and not dropped["domain"]:
            raise ResultInvalid(
                f"{provider} answered with nothing that is of use.",
                provider=provider,
                reason=dropped.most_common(1)[0][0],
                cost=cost,
                assumed=FREE,
            )
        return msgspec.structs.replace(
            answer,
            results=tuple(kept[: request.limit]),
            answer=None if answer.answer is None else plain(answer.answer, limits.CONTENT_CHARS_MAX),
            images=_images(answer.images, self._schemes),
        )


def _note(call: Call[RequestT], provider: str, why: str, dropped: int) -> None:
    if dropped:
        call.trail.record(ResultRejected(provider=provider, reason=why, dropped=dropped))


def _useful(
    results: Sequence[SearchResult], schemes: frozenset[str], request: SearchRequest, dropped: Counter[str]
) -> Iterable[SearchResult]:
    """Results the caller can use, each page once, with texts within bounds; `dropped` counts the others."""
    seen: set[str] = set()
    for result in results:
        if not is_link(result.url, schemes):
            dropped["unusable"] += 1
            continue
        harmless, link = _harmless(result, schemes), canonical_link(result.url)
        why = _flaw(harmless) or ("duplicate" if link in seen else "")
        if not why:
            seen.add(link)
            if is_allowed(host_and_path(result.url), request):
                yield msgspec.structs.replace(harmless, title=harmless.title or urlsplit(result.url).netloc)
                continue
            why = "domain"
        dropped[why] += 1


def _flaw(result: SearchResult) -> str:
    """Why its texts make it useless, `""` if they do not."""
    text = result.content if result.content.strip() else result.raw_content or ""
    if not (result.title or text.strip()):
        return "empty"
    return "error_page" if is_error_page(result.title, text) else ""


def is_link(url: object, schemes: frozenset[str]) -> TypeGuard[str]:
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
    raw = result.raw_content
    return msgspec.structs.replace(
        result,
        title=plain(result.title, limits.TITLE_CHARS_MAX).strip(),
        content=plain(result.content, limits.CONTENT_CHARS_MAX),
        raw_content=None if raw is None else page(raw, limits.RAW_CONTENT_CHARS_MAX),
        published_date=None if result.published_date is None else plain(result.published_date, 64),
        favicon=result.favicon if is_link(result.favicon, WEB_SCHEMES) else None,
        images=None if result.images is None else _images(result.images, schemes),
    )


def _images(images: Iterable[Any], schemes: frozenset[str]) -> tuple[Any, ...]:
    """Images with a URL people may follow, each once: URLs, or objects whose texts are harmless."""
    kept: dict[str, Any] = {}
    for image in images:
        url = image.get("url") if isinstance(image, dict) else image
        if is_link(url, schemes):
            kept.setdefault(canonical_link(url), _harmless_image(image))
    return tuple(kept.values())


def _harmless_image(image: Any) -> Any:
    if not isinstance(image, dict):
        return image
    return {
        name: plain(value, limits.CONTENT_CHARS_MAX) if isinstance(value, str) and name != "url" else value
        for name, value in image.items()
    }


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


async def _covering(request: ExtractRequest, answer: ExtractAnswer) -> tuple[ExtractAnswer, int]:
    """The answer as exactly one page or one failure per URL asked for, and how many error pages it had."""
    pages = {}
    for read in answer.pages:
        pages[read.url] = _harmless_page(read)
        await asyncio.sleep(0)  # A long page takes milliseconds: others have their turn in between.
    failures = {failure.url: failure for failure in answer.failures}
    kept: list[Page] = []
    failed: list[PageFailure] = []
    error_pages = 0
    for url in request.urls:
        found = pages.get(url)
        if found is None or not found.raw_content.strip():
            failed.append(failures.get(url) or PageFailure(url=url, error=NO_TEXT))
        elif is_error_page(found.title or "", found.raw_content):
            error_pages += 1
            failed.append(PageFailure(url=url, error=ERROR_PAGE))
        else:
            kept.append(found)
    return ExtractAnswer(pages=tuple(kept), failures=tuple(failed)), error_pages


def _harmless_page(read: Page) -> Page:
    return msgspec.structs.replace(
        read,
        raw_content=page(read.raw_content, limits.RAW_CONTENT_CHARS_MAX),
        title=None if read.title is None else plain(read.title, limits.TITLE_CHARS_MAX).strip(),
        images=_images(read.images, WEB_SCHEMES),
        favicon=read.favicon if is_link(read.favicon, WEB_SCHEMES) else None,
    )
