"""What the server answers, as frozen values.

Fields that a newer server adds are kept in `raw`, the decoded JSON as it came, so that an older client never
hides them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]
"""A decoded JSON object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One call to a provider, or its omission (`outcome` `skipped`); `duration_s` in seconds."""

    provider: str
    outcome: str
    reason: str
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """How the answer came about.

    `cache` is `l1`, `l2`, `collapsed`, `miss` or `mixed`, `age_s` the age of a cached answer in seconds.
    `credits` and `cost_usd` are what this very call spent: 0 for a hit. `degraded` says that private
    documents stood in for the web. `unsupported` names what of the request the provider could not honour,
    `notes` what the server changed in it, and why an old answer is given.
    """

    provider: str
    cache: str
    age_s: float
    stale: bool
    degraded: bool
    credits: float
    cost_usd: float
    execution_id: str
    attempts: tuple[Attempt, ...] = ()
    unsupported: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """One hit; `score` is 0..1 and falls from hit to hit.

    `raw_content` is the text of the page if it was asked for and could be read, else `None`.
    """

    title: str
    url: str
    content: str
    score: float
    raw_content: str | None = None
    published_date: str | None = None
    favicon: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchAnswer:
    """The answer to a search, best result first; no result is an answer too.

    `answer` is a written answer if one was asked for and a provider gave one. `response_time_s` is the
    server's own time in seconds.
    """

    query: str
    results: tuple[SearchResult, ...]
    answer: str | None
    images: tuple[Any, ...]
    response_time_s: float
    request_id: str
    why: Why
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The readable text of one page."""

    url: str
    raw_content: str
    title: str | None = None
    images: tuple[str, ...] = ()
    favicon: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedPage:
    """A page nobody could read, and why."""

    url: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractAnswer:
    """The answer to an extract: `pages` and `failures` together cover the URLs that were asked for."""

    pages: tuple[Page, ...]
    failures: tuple[FailedPage, ...]
    response_time_s: float
    request_id: str
    why: Why
    raw: Json = field(repr=False)


def search_answer(body: Json) -> SearchAnswer:
    """The value of a search's JSON. Raises KeyError, TypeError, ValueError for what is none."""
    return SearchAnswer(
        query=body["query"],
        results=tuple(_result(one) for one in body["results"]),
        answer=body.get("answer"),
        images=tuple(body.get("images") or ()),
        response_time_s=float(body["response_time"]),
        request_id=body["request_id"],
        why=_why(body["amos"]),
        raw=body,
    )


def extract_answer(body: Json) -> ExtractAnswer:
    """The value of an extract's JSON. Raises KeyError, TypeError, ValueError for what is none."""
    return ExtractAnswer(
        pages=tuple(_page(one) for one in body["results"]),
        failures=tuple(FailedPage(url=one["url"], error=one["error"]) for one in body["failed_results"]),
        response_time_s=float(body["response_time"]),
        request_id=body["request_id"],
        why=_why(body["amos"]),
        raw=body,
    )


def _result(one: Json) -> SearchResult:
    return SearchResult(
        title=one["title"],
        url=one["url"],
        content=one["content"],
        score=float(one["score"]),
        raw_content=one.get("raw_content"),
        published_date=one.get("published_date"),
        favicon=one.get("favicon"),
    )


def _page(one: Json) -> Page:
    return Page(
        url=one["url"],
        raw_content=one["raw_content"],
        title=one.get("title"),
        images=tuple(one.get("images") or ()),
        favicon=one.get("favicon"),
    )


def _why(amos: Json) -> Why:
    return Why(
        provider=amos["provider"],
        cache=amos["cache"],
        age_s=float(amos["age_s"]),
        stale=amos["stale"],
        degraded=amos["degraded"],
        credits=float(amos["credits"]),
        cost_usd=float(amos["cost_usd"]),
        execution_id=amos["execution_id"],
        attempts=tuple(_attempt(one) for one in _list(amos, "attempts")),
        unsupported=tuple(_list(amos, "unsupported")),
        notes=tuple(_list(amos, "notes")),
    )


def _attempt(one: Json) -> Attempt:
    return Attempt(
        provider=one["provider"],
        outcome=one["outcome"],
        reason=one["reason"],
        duration_s=float(one["duration_s"]),
    )


def _list(body: Json, name: str) -> Sequence[Any]:
    return body.get(name) or ()
