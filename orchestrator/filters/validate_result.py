"""A useless answer is a failure, so that the next provider can do better.

Providers treat domain lists as wishes and return what they like; what the caller ruled out is dropped here,
whichever provider it came from, and so is what no client can use. An answer that was empty from the start is
a success.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic
from urllib.parse import urlsplit

import msgspec

from orchestrator import limits
from orchestrator.errors import ResultInvalid
from orchestrator.events import FREE, Cost, ResultRejected
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
        return msgspec.structs.replace(found, answer=_covering(request, answer))

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
        return msgspec.structs.replace(answer, results=tuple(allowed[: request.limit]))


def _note(call: Call[RequestT], provider: str, why: str, dropped: int) -> None:
    if dropped:
        call.trail.record(ResultRejected(provider=provider, reason=why, dropped=dropped))


def _usable(results: Sequence[SearchResult], schemes: frozenset[str]) -> Iterable[SearchResult]:
    """Results with a URL people can follow, each URL once, with texts within bounds."""
    seen: set[str] = set()
    for result in results:
        try:
            parts = urlsplit(result.url)
        except ValueError:
            continue
        is_link = parts.scheme in schemes and (parts.netloc or parts.scheme == "file")
        if is_link and len(result.url) <= limits.URL_CHARS_MAX and result.url not in seen:
            seen.add(result.url)
            yield _bounded(result, parts.netloc)


def _bounded(result: SearchResult, host: str) -> SearchResult:
    raw = result.raw_content
    if result.title and len(result.content) <= limits.CONTENT_CHARS_MAX and raw is None:
        return result
    return msgspec.structs.replace(
        result,
        title=result.title or host,
        content=result.content[: limits.CONTENT_CHARS_MAX],
        raw_content=raw if raw is None else raw[: limits.RAW_CONTENT_CHARS_MAX],
    )


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


def _covering(request: ExtractRequest, answer: ExtractAnswer) -> ExtractAnswer:
    """The answer as exactly one page or one failure per URL asked for."""
    pages = {page.url: page for page in answer.pages if page.raw_content.strip()}
    failures = {failure.url: failure for failure in answer.failures}
    kept: list[Page] = []
    failed: list[PageFailure] = []
    for url in request.urls:
        page = pages.get(url)
        if page is not None:
            kept.append(
                msgspec.structs.replace(page, raw_content=page.raw_content[: limits.RAW_CONTENT_CHARS_MAX])
            )
        else:
            failed.append(failures.get(url) or PageFailure(url=url, error="The page has no readable text."))
    return ExtractAnswer(pages=tuple(kept), failures=tuple(failed))
