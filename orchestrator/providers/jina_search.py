"""Jina search: our vocabulary into Jina's and its answer back into ours. Pure; jina.py does the talking.

Jina has no score, no answer and no dates to filter by; it has the operators of a web search engine. What has
an operator is translated, what has none is named in `unsupported`, and the rank serves as score.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from orchestrator import limits
from orchestrator.countries import COUNTRIES, country_name
from orchestrator.model import SearchAnswer, SearchRequest, SearchResult
from orchestrator.providers.billing import billed_amount

SEARCH_URL = "https://s.jina.ai"
"""Jina's API description: a host of its own, called at its root."""

USD_PER_MILLION_TOKENS = 0.05
"""Reported in September 2026 for recent keys; older packages cost less, so this is a setting."""

TOKENS_PER_TEN = 10_000
"""Jina's source: the fixed price of each started ten results."""

PAGE_TOKENS_TYPICAL = 14_000
"""Measured by others in September 2026: a search with five pages was billed about 68,000 tokens."""

WINDOW_DAYS = {"day": 1, "d": 1, "week": 7, "w": 7, "month": 30, "m": 30, "year": 365, "y": 365}
"""Tavily's `time_range` values in days."""

NEWS_DAYS = 30
"""chosen: how far back `topic: news` reaches when no window is given. Jina's own news search costs five times
as much as a web search with `after:`."""

SITES_MAX = 20
"""chosen: hosts that are written into the query; search engines ignore what exceeds a few dozen words.
Results from hosts beyond that are still filtered by the stage that validates results."""

PAGES_TIMEOUT_S = (1, 25)
"""Jina's source: 25 s is how long a search waits for pages by default; it then answers with what it has."""

PAGES_RESERVE_S = 2.5
"""Jina's source: up to 2 s pass between the end of that wait and the answer; half a second is for the way."""

PREFERRED_MODES = frozenset({"boost", "prefer"})
"""Values of `include_domains_mode` that ask for a preference, which no operator expresses."""

_UNTRANSLATABLE = (
    *(
        "include_answer",
        "include_images",
        "include_image_descriptions",
        "include_favicon",
        "chunks_per_source",
    ),
    *(
        "language",
        "filter_by_language",
        "filter_by_published_date",
        "auto_parameters",
        "exact_match",
        "safe_search",
    ),
)

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
    )
}


# --- requests -----------------------------------------------------------------------------------------------


def search_body(request: SearchRequest, today: date) -> dict[str, Any]:
    """The JSON of a search; `today` is the date in UTC that relative windows end at."""
    body: dict[str, Any] = {"q": _query(request, today), "num": _count(request)}
    sites = _sites(request)
    if sites:
        body["site"] = sites
    if request.country and (name := country_name(request.country)):
        body["gl"] = COUNTRIES[name]
    return body


def search_headers(request: SearchRequest, remaining_s: float) -> dict[str, str]:
    """The headers of a search. Pages are fetched only if asked for, within the `remaining_s` of the call."""
    # Exactly this Accept: with anything that admits text/plain, Jina answers in plain text.
    headers = {"Accept": "application/json"}
    if not request.include_raw_content:
        return headers | {"X-Respond-With": "no-content"}
    if request.include_raw_content == "text":
        headers["X-Return-Format"] = "text"
    shortest, longest = PAGES_TIMEOUT_S
    wait_s = min(max(math.floor(remaining_s - PAGES_RESERVE_S), shortest), longest)
    return headers | {"X-Timeout": str(wait_s)}


def unsupported(request: SearchRequest) -> tuple[str, ...]:
    """The fields that were given and make no difference here, in the order of the request."""
    names = [name for name in _UNTRANSLATABLE if getattr(request, name)]
    if request.depth == "advanced":
        names.append("search_depth")
    if request.topic == "finance":
        names.append("topic")
    if request.country and country_name(request.country) is None:
        names.append("country")
    if request.include_domains and request.include_domains_mode in PREFERRED_MODES:
        names.append("include_domains_mode")
    elif len(request.include_domains) > SITES_MAX:
        names.append("include_domains")
    return (*names, *(name for name in request.extra if name != "include_usage"))


def _count(request: SearchRequest) -> int:
    """How many results to ask for.

    Without pages ten cost as much as one, and the surplus makes up for what the caller's domain lists rule
    out.
    """
    return request.limit if request.include_raw_content else math.ceil(request.limit / 10) * 10


def _query(request: SearchRequest, today: date) -> str:
    """The query with its operators: `-site:` for excluded hosts, `after:` and `before:` for the window."""
    words = [request.query]
    words += [f"-site:{_host(domain)}" for domain in request.exclude_domains[:SITES_MAX]]
    if after := _after(request, today):
        words.append(f"after:{after}")
    if request.end_date:
        words.append(f"before:{request.end_date}")
    return " ".join(words)


def _after(request: SearchRequest, today: date) -> str | None:
    """The first day of the window, `None` for any time. A date wins over a range, a range over `days`."""
    if request.start_date:
        return request.start_date
    days = WINDOW_DAYS.get(request.time_range or "") or request.days
    if days is None and request.topic == "news" and not request.end_date:
        days = NEWS_DAYS
    if days is None:
        return None
    # A window longer than the calendar means any time.
    return (today - timedelta(days=days)).isoformat() if days < today.toordinal() else None


def _sites(request: SearchRequest) -> list[str]:
    if request.include_domains_mode in PREFERRED_MODES:
        return []
    return [_host(domain) for domain in request.include_domains[:SITES_MAX]]


def _host(domain: str) -> str:
    """A domain as the `site:` operator wants it: `*.com` is written `com`; paths may stay."""
    return domain.removeprefix("*.")


# --- answers ------------------------------------------------------------------------------------------------


class _Item(msgspec.Struct, rename="camel"):
    title: str | None = None
    url: str | None = None
    description: str | None = None
    content: str | None = None
    text: str | None = None
    date: str | None = None
    published_time: str | None = None


class _Search(msgspec.Struct):
    data: list[_Item]
    meta: Any = None


_SEARCH = msgspec.json.Decoder(_Search, strict=False)


def read_search(body: bytes, request: SearchRequest) -> tuple[SearchAnswer, int | None]:
    """The answer, and the tokens it says it cost (`None` if it does not). Raises msgspec.DecodeError.

    Items without a URL and repeated URLs are left out. There may be more results than the caller wants: they
    are cut when the domain lists have been applied.
    """
    found = _SEARCH.decode(body)
    items: dict[str, _Item] = {}
    for item in found.data:
        if item.url:
            items.setdefault(item.url, item)
    results = tuple(_result(url, item, rank, request) for rank, (url, item) in enumerate(items.items()))
    return SearchAnswer(results=results, answer=None, images=()), billed_tokens(found.meta)


def _result(url: str, item: _Item, rank: int, request: SearchRequest) -> SearchResult:
    page = (item.content or item.text) if request.include_raw_content else None
    return SearchResult(
        title=item.title or "",
        url=url,
        content=item.description or "",
        score=score(rank),
        raw_content=page or None,
        published_date=normalise_date(item.date) or normalise_date(item.published_time),
    )


def score(rank: int) -> float:
    """A relevance for the rank (from 0): 1.0 for the first, falling strictly, never 0."""
    return round(1 / (1 + rank / 10), 4)


def normalise_date(text: str | None) -> str | None:
    """An absolute date, as ISO 8601 or RFC 1123; `None` for all else.

    `Nov 10, 2026` becomes `2026-11-10`. Relative ones (`2 days ago`) are left out: nobody can say from when
    they count.
    """
    text = (text or "").strip()
    if re.match(r"\d{4}-\d{2}-\d{2}", text):
        return text if _is_iso(text) else None
    if match := re.fullmatch(r"([A-Za-z]{3})[a-z]*\.? (\d{1,2}), (\d{4})", text):
        return _day(year=match[3], month=match[1], day=match[2])
    if match := re.fullmatch(r"(\d{1,2}) ([A-Za-z]{3})[a-z]*\.? (\d{4})", text):
        return _day(year=match[3], month=match[2], day=match[1])
    return text if _is_rfc1123(text) else None


def _day(*, year: str, month: str, day: str) -> str | None:
    try:
        return date(int(year), _MONTHS[month.lower()], int(day)).isoformat()
    except (KeyError, ValueError):
        return None


def _is_iso(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_rfc1123(text: str) -> bool:
    if not re.match(r"[A-Za-z]{3}, ", text):
        return False
    try:
        parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return False
    return True


def utc_date(moment: float) -> date:
    """The date in UTC of a moment in epoch seconds."""
    return datetime.fromtimestamp(moment, UTC).date()


# --- prices -------------------------------------------------------------------------------------------------


def billed_tokens(meta: Any) -> int | None:
    """`meta.usage.tokens`, if it is there and a count."""
    usage = meta.get("usage") if isinstance(meta, dict) else None
    tokens = usage.get("tokens") if isinstance(usage, dict) else None
    return token_count(tokens) if isinstance(tokens, int) else None


def token_count(value: int) -> int | None:
    """The number of tokens somebody names, `None` if it cannot be one."""
    billed = billed_amount(value, limits.BILLED_TOKENS_MAX)
    return None if billed is None else int(billed)


def formula_tokens(result_count: int) -> int:
    """What the price list says of a search without pages: a fixed price for each started ten results."""
    return math.ceil(result_count / 10) * TOKENS_PER_TEN


def estimate_tokens(request: SearchRequest) -> int:
    """The most that the search can be expected to cost, in tokens."""
    fixed = formula_tokens(request.limit)
    return max(fixed, request.limit * PAGE_TOKENS_TYPICAL) if request.include_raw_content else fixed
