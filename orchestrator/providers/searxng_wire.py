"""SearXNG's JSON: our vocabulary into its parameters, and its answer back into ours. Pure.

SearXNG asks other engines, so what it honours depends on them. A window of dates it does not know, only a
range back from now; a domain list becomes operators, which most engines understand, and what they let through
all the same is dropped by the stage that validates results.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from orchestrator.countries import COUNTRIES, country_name
from orchestrator.model import SearchAnswer, SearchRequest, SearchResult
from orchestrator.providers.option_checks import (
    SECONDS_MAX,
    bad,
    check_headers,
    check_range,
    check_url,
)
from orchestrator.providers.ranking import falling_scores, is_number
from orchestrator.providers.request_terms import is_asked, unsupported

RANGES = {"day": "day", "d": "day", "week": "week", "w": "week", "month": "month", "m": "month"} | {
    "year": "year",
    "y": "year",
}
"""Tavily's `time_range` values as SearXNG's."""

DAYS = {1: "day", 7: "week", 30: "month", 31: "month", 365: "year"}
"""The values of `days` that SearXNG has a word for."""

SCORE_MAX = 1e9
"""chosen: SearXNG's scores are below 100; a larger number is a fault of whoever sent it."""

STRICT = 2
"""SearXNG's `safesearch` that lets nothing doubtful through."""

SITES_MAX = 8
"""chosen: domains written into the query; engines ignore what is beyond a few dozen words."""

RESULTS_READ_MAX = 100
"""chosen: five times what anybody may ask for; a page of SearXNG has 10 to 50."""

PREFERRED_MODES = frozenset({"boost", "prefer"})
"""Values of `include_domains_mode` that ask for a preference, which no operator expresses."""

_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2})?")
"""SearXNG's source, searx/webadapter.py and webutils.py: another one is refused."""

_BANG = re.compile(r"(?<!\S)!+(?=\S)")
"""Before a word it chooses another engine, and two of them make SearXNG redirect to that engine."""


class SearxngOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of the kind `searxng`. `url` is the engine's own, without `/search`.

    `engines`, `categories`, `language` and `safesearch` are what a search uses that asks for nothing else;
    `""` and `None` leave it to SearXNG's settings.
    """

    url: str
    engines: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    language: str = ""
    safesearch: Literal[0, 1, 2] | None = None
    headers: dict[str, str] = {}
    timeout_s: float | None = None

    def check(self) -> None:
        """Raises InvalidRequest, which names the option, for values that cannot be meant."""
        check_url(self.url)
        if "?" in self.url:
            raise bad("url", "must have no query")
        for name, values in (("engines", self.engines), ("categories", self.categories)):
            if len(values) > 50 or any(not re.fullmatch(r"[\w .:+-]{1,64}", one) for one in values):
                raise bad(name, "must be names as SearXNG's preferences show them")
        if self.language and self.language not in ("all", "auto") and not _LANGUAGE.fullmatch(self.language):
            raise bad("language", "must be a code such as de or de-CH, all or auto")
        check_headers(self.headers)
        if self.timeout_s is not None:
            check_range("timeout_s", self.timeout_s, 0.05, SECONDS_MAX)


# --- requests -----------------------------------------------------------------------------------------------


def search_params(request: SearchRequest, options: SearxngOptions) -> dict[str, str]:
    """The parameters of a search. A category that is asked for replaces the engines: both would add up."""
    params = {"q": _query(request), "format": "json", "pageno": "1"}
    if request.topic == "news":
        params["categories"] = "news"
    else:
        params |= {"engines": ",".join(options.engines), "categories": ",".join(options.categories)}
    params["language"] = _language(request) or options.language
    params["time_range"] = _range(request)
    safesearch = STRICT if request.safe_search else options.safesearch
    params["safesearch"] = "" if safesearch is None else str(safesearch)
    return {name: value for name, value in params.items() if value}


def _query(request: SearchRequest) -> str:
    words = [_BANG.sub("", request.query)]
    sites = [] if request.include_domains_mode in PREFERRED_MODES else request.include_domains
    if len(sites) == 1:
        words.append(f"site:{_host(sites[0])}")
    elif 1 < len(sites) <= SITES_MAX:
        words.append("(" + " OR ".join(f"site:{_host(one)}" for one in sites) + ")")
    words += [f"-site:{_host(one)}" for one in request.exclude_domains[:SITES_MAX]]
    return " ".join(words)


def _host(domain: str) -> str:
    return domain.removeprefix("*.")


def _range(request: SearchRequest) -> str:
    """The range back from now, `""` for any time."""
    return RANGES.get(request.time_range or "") or DAYS.get(request.days or 0) or ""


def _language(request: SearchRequest) -> str:
    """The language, with its country if that is given too; `""` for one that SearXNG has no code for."""
    code = (request.language or "").lower()
    if not re.fullmatch(r"[a-z]{2,3}", code):
        return ""
    name = country_name(request.country) if request.country else None
    return f"{code}-{COUNTRIES[name].upper()}" if name else code


def passed_over(request: SearchRequest, answer: SearchAnswer) -> tuple[str, ...]:
    """The fields that were given and made no difference."""
    honoured = {"safe_search"}
    if request.topic == "news":
        honoured.add("topic")
    if _range(request):
        honoured |= {"time_range"} if request.time_range else {"days"}
    if _language(request):
        honoured |= {"language", "country"} if country_name(request.country or "") else {"language"}
    if answer.answer is not None:
        honoured.add("include_answer")
    if answer.images:
        honoured |= {"include_images", "include_image_descriptions"}
    names = unsupported(request, honoured)
    many = len(request.include_domains) > SITES_MAX and "include_domains_mode" not in names
    return (*names, "include_domains") if many else names


# --- answers ------------------------------------------------------------------------------------------------


class _Item(msgspec.Struct, rename="camel"):
    url: str | None = None
    title: str | None = None
    content: str | None = None
    score: Any = None
    published_date: Any = None
    img_src: Any = msgspec.field(default=None, name="img_src")


class Page(msgspec.Struct):
    """SearXNG's answer. Answers and infoboxes have changed their shape over the years."""

    results: list[_Item]
    answers: list[Any] = []
    infoboxes: list[Any] = []
    unresponsive_engines: list[Any] = []

    def is_blind(self, engines: tuple[str, ...]) -> bool:
        """Whether nothing was found because engines did not answer: all of those that are configured.

        Where it is left to SearXNG which engines there are, one is enough: nobody knows whether others were
        asked, and "nothing found" would be believed.
        """
        if self.results or self.answers or self.infoboxes or not self.unresponsive_engines:
            return False
        return len(self.unresponsive_engines) >= max(1, len(engines))


read_page = msgspec.json.Decoder(Page, strict=False).decode


def answer_of(page: Page, request: SearchRequest) -> SearchAnswer:
    """The results in SearXNG's order, each page once."""
    items: dict[str, _Item] = {}
    for item in page.results[:RESULTS_READ_MAX]:
        if item.url:
            items.setdefault(item.url, item)
    kept = list(items.values())
    results = tuple(
        _result(item, score) for item, score in zip(kept, falling_scores(_scaled(kept)), strict=True)
    )
    return SearchAnswer(
        results=results,
        answer=_direct_answer(page) if is_asked(request, "include_answer") else None,
        images=_images(kept, request),
    )


def _scaled(items: list[_Item]) -> list[Any]:
    """The scores as parts of the best one: SearXNG adds up what its engines say, without a bound."""
    scores = [item.score for item in items]
    # Within what a float can hold: an integer of JSON may be larger, and is no score.
    numbers = [one for one in scores if is_number(one) and abs(one) < SCORE_MAX]
    top = max(numbers, default=0)
    return [one / top for one in numbers] if len(numbers) == len(scores) and top > 0 else [None] * len(scores)


def _result(item: _Item, score: float) -> SearchResult:
    date = item.published_date
    return SearchResult(
        title=item.title or "",
        url=item.url or "",
        content=item.content or "",
        score=round(score, 4),
        raw_content=None,
        published_date=date if isinstance(date, str) and date else None,
    )


def _direct_answer(page: Page) -> str | None:
    """What an engine answered at once, or else what a lexicon says; `None` if neither did."""
    for given, member in ((page.answers, "answer"), (page.infoboxes, "content")):
        for one in given:
            text = one.get(member) if isinstance(one, Mapping) else one
            if isinstance(text, str) and text.strip():
                return text.strip()
    return None


def _images(items: list[_Item], request: SearchRequest) -> tuple[Any, ...]:
    if not request.include_images:
        return ()
    found = {item.img_src: item.title or "" for item in items if isinstance(item.img_src, str)}
    urls = {f"https:{url}" if url.startswith("//") else url: title for url, title in found.items() if url}
    if request.include_image_descriptions:
        return tuple({"url": url, "description": title} for url, title in urls.items())
    return tuple(urls)
