"""The JSON that a SearXNG instance speaks: a query string or a form in, its members out.

The parameters and members are those of https://docs.searxng.org/dev/search_api.html, read on 2026-11-30, and
what clients of it send (Open WebUI, LangChain, Agno, LibreChat, n8n). What none of our providers can do, such
as choosing `engines`, is passed over and named in `amos.unsupported`; what would change nothing, such as
`theme`, is passed over in silence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec
from starlette.exceptions import HTTPException

from api.rest.dialects import tavily
from api.rest.dialects.dialect import Dialect
from api.rest.dialects.fields import parameters
from api.rest.dialects.found import Remembered, encoded, hits_of, moment
from orchestrator import limits
from orchestrator.errors import InvalidRequest
from orchestrator.model import Attempt, Response, SearchRequest

NAME = "searxng"

PAGE_RESULTS = 10
"""chosen: what the engines behind a real instance give for a page; no parameter of a caller changes it."""

PAGE_MAX = 1_000
"""chosen: there are two pages, the first ten results and the ten after them; every later one is empty, and
clients that go on until one is stop there. A larger number is no page."""

_TIME_RANGES = ("day", "week", "month", "year")
_LANGUAGE = re.compile(r"([a-z]{2,3})(?:[-_][A-Za-z]{2,8})*")
_ANY_LANGUAGE = ("", "all", "auto")

_encode = msgspec.json.Encoder().encode


class Asked(msgspec.Struct, frozen=True):
    """A search, the page of it that is wanted, and which parameters nobody here can honour."""

    request: SearchRequest
    page: int = 1
    unsupported: tuple[str, ...] = ()
    credential: str | None = None


class SearxngError(msgspec.Struct, frozen=True, kw_only=True):
    """A failure as an instance of SearXNG tells it in JSON, and our addition."""

    error: str
    amos: tavily.AmosOfError


class _Result(msgspec.Struct, frozen=True, gc=False):
    title: msgspec.Raw
    url: msgspec.Raw
    content: msgspec.Raw
    engine: str
    engines: tuple[str, ...]
    positions: tuple[int, ...]
    score: msgspec.Raw
    category: str
    publishedDate: str | None  # noqa: N815 - the member's name
    template: str = "default.html"


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    query: str
    number_of_results: int
    results: msgspec.Raw
    answers: tuple[str, ...] = ()
    corrections: tuple[str, ...] = ()
    infoboxes: tuple[str, ...] = ()
    suggestions: tuple[str, ...] = ()
    unresponsive_engines: list[tuple[str, str]]
    amos: tavily.Amos


# --- requests -----------------------------------------------------------------------------------------------


def parse(body: bytes, query_string: bytes) -> Asked:
    """The search in a form, in the query string, or in both: the form wins. Raises InvalidRequest."""
    given = dict(parameters(query_string)) if query_string else {}
    if body:
        given |= parameters(body)
    _check_format(given.get("format", ""))
    if not given.get("q", "").strip():
        raise InvalidRequest("q: No query.", field="q")
    page = _number(given, "pageno", 1, PAGE_MAX)
    categories = {name.strip() for name in given.get("categories", "").split(",")} - {""}
    unsupported = ["engines"] if given.get("engines") else []
    if categories - {"general", "news"}:
        unsupported.append("categories")
    strictness = _number(given, "safesearch", 0, 2)
    if strictness == 1:
        unsupported.append("safesearch")
    request = SearchRequest(
        query=given["q"],
        max_results=min(page * PAGE_RESULTS, limits.RESULTS_MAX),
        topic="news" if categories == {"news"} else None,
        time_range=_choice(given, "time_range", _TIME_RANGES),
        language=_language(given.get("language", "")),
        safe_search=True if strictness == 2 else None,
    )
    return Asked(request, page, tuple(unsupported))


def _check_format(name: str) -> None:
    """Let JSON pass, also where no format is named. Raises HTTPException (403), as an instance does."""
    if name not in ("", "json"):
        raise HTTPException(403, "format: Only format=json is offered here.")


def _number(given: Mapping[str, str], name: str, least: int, most: int) -> int:
    """The number; the least of them where none is given."""
    text = given.get(name, "")
    if not text:
        return least
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and least <= int(text) <= most):
        raise InvalidRequest(f"{name}: expected a number from {least} to {most}.", field=name)
    return int(text)


def _choice(given: Mapping[str, str], name: str, choices: Sequence[str]) -> str | None:
    value = given.get(name) or None
    if value is not None and value not in choices:
        raise InvalidRequest(f"{name}: expected one of {', '.join(choices)}.", field=name)
    return value


def _language(name: str) -> str | None:
    """The language of a tag such as `en-US`; `None` for any."""
    if name in _ANY_LANGUAGE:
        return None
    found = _LANGUAGE.fullmatch(name)
    if found is None:
        raise InvalidRequest("language: expected a code such as en or en-US, or all.", field="language")
    return found[1]


# --- answers ------------------------------------------------------------------------------------------------


def render(asked: Asked, response: Response, *, execution_id: str, duration_s: float = 0.0) -> bytes:
    """The answer with the results of the page that was asked for; providers are its engines."""
    return _encode(
        _Answer(
            query=asked.request.query,
            number_of_results=response.result_count,
            results=_results(response.fragment, asked.page, response.provider, asked.request.category),
            unresponsive_engines=[(one.provider, one.reason) for one in response.attempts if one.reason],
            amos=tavily.why(response, execution_id, unsupported=asked.unsupported),
        )
    )


@Remembered
def _results(fragment: bytes, page: int, engine: str, category: str) -> msgspec.Raw:
    first = (page - 1) * PAGE_RESULTS
    engines = (engine,)
    return encoded(
        [
            # By position, in the order of the class: by name it would take a third longer.
            _Result(
                *(hit.title, hit.url, hit.content, engine, engines, (place,), hit.score, category),
                moment(hit.published_date) or None if hit.published_date else None,
            )
            for place, hit in enumerate(hits_of(fragment)[first : first + PAGE_RESULTS], first + 1)
        ]
    )


def render_error(
    message: str, *, status: int, code: str, execution_id: str = "", attempts: Sequence[Attempt] = ()
) -> bytes:
    """An error as an instance tells it in JSON, and what it came of."""
    return _encode(SearxngError(error=message, amos=tavily.amos_of_error(code, execution_id, attempts)))


SEARCH = Dialect(
    name=NAME,
    parsers=dict.fromkeys(("GET", "HEAD", "POST"), parse),
    render=render,
    words={"query": "q"},
)
"""As SearXNG offers it, under `/search` and at the root of the instance."""
