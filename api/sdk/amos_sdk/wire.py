"""What each call sends: the routes of the server, their options, and the form these take on the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict
from urllib.parse import quote

from amos_sdk.exchange import Send

Depth = Literal["basic", "advanced", "fast", "ultra-fast"]
Topic = Literal["general", "news", "finance"]


class CacheOptions(TypedDict, total=False):
    """What a call wants of the server's cache (RFC 9111 request directives); left out, its policy decides."""

    no_cache: bool
    """Fetch again, and refresh what is cached: it costs, and needs the scope `refresh`."""
    no_store: bool
    """Keep nothing of this call in the cache, and take nothing from it."""
    only_if_cached: bool
    """Answer from the cache or raise DeadlineExceeded."""
    max_age_s: int
    """Take no cached answer older than this, in seconds; needs the scope `refresh`, else it is not heeded."""
    stale_if_error_s: int
    """Take an answer that is past its freshness by so much at most, in seconds, if no fresh one can be
    had."""


class SearchOptions(CacheOptions, total=False):
    """The options of a search, in Tavily's vocabulary; left out, the server's default is in force."""

    max_results: int
    """0 to 20; 5 when left out. A larger number is clamped and said so in `why.notes`."""
    search_depth: Depth
    topic: Topic
    time_range: Literal["day", "week", "month", "year"]
    start_date: str
    """`YYYY-MM-DD`"""
    end_date: str
    include_domains: Sequence[str]
    exclude_domains: Sequence[str]
    country: str
    include_answer: bool | Literal["basic", "advanced"]
    include_raw_content: bool | Literal["markdown", "text"]
    include_images: bool
    include_favicon: bool
    exact_match: bool
    extra: Mapping[str, Any]
    """Further fields of the request, sent as they are."""


class ExtractOptions(CacheOptions, total=False):
    """The options of an extract; left out, the server's default is in force."""

    query: str
    """Ask for the passages that answer this, instead of the whole text."""
    chunks_per_source: int
    extract_depth: Literal["basic", "advanced"]
    format: Literal["markdown", "text"]
    include_images: bool
    include_favicon: bool
    timeout: float
    """Seconds the server may take; 30 at most."""
    extra: Mapping[str, Any]


def search(query: str, options: SearchOptions) -> Send:
    """`POST search`."""
    return _post("search", {"query": query}, options)


def extract(urls: str | Sequence[str], options: ExtractOptions) -> Send:
    """`POST extract` for one URL or several."""
    return _post("extract", {"urls": [urls] if isinstance(urls, str) else list(urls)}, options)


class ReportOptions(TypedDict, total=False):
    """Parameters of a report; those left out, or `None`, have the server's defaults."""

    since: str | None
    """An age (`24h`), `now`, epoch seconds or ISO 8601; a day ago by default."""
    until: str | None
    by: str | None
    """How to group, such as `provider` or `hour`."""
    limit: int | None
    """Rows of a ranking; 20 by default."""
    tz: str | None
    """The IANA time zone of days, hours and moments without an offset; UTC by default."""


def report(name: str, options: ReportOptions) -> Send:
    """`GET reports/{name}`."""
    parameters = {key: str(value) for key, value in options.items() if value is not None}
    headers = {"Accept": "application/json"}
    return Send("GET", f"reports/{quote(name, safe='')}", {"params": parameters, "headers": headers})


class ExecutionOptions(TypedDict, total=False):
    """Which executions are wanted; those left out, or `None`, are any, and of the last 24 hours."""

    since: str | None
    """Recorded since: an age (`24h`), `now`, epoch seconds or ISO 8601."""
    until: str | None
    client: str | None
    operation: str | None
    door: str | None
    provider: str | None
    cache: str | None
    outcome: Literal["answered", "failed"] | None
    error: str | None
    text: str | None
    """What the query contains, or the URL of a page."""
    min_duration: float | None
    """Seconds they stayed at least."""
    before: int | None
    """`next` of the page before."""
    limit: int | None
    """1 to 200; 50 by default."""


def executions(options: ExecutionOptions) -> Send:
    """`GET executions`."""
    parameters = {key: str(value) for key, value in options.items() if value is not None}
    return Send("GET", "executions", {"params": parameters, "headers": {"Accept": "application/json"}})


def usage() -> Send:
    """`GET usage`."""
    return Send("GET", "usage", {})


def execution(execution_id: str, wait_s: float) -> Send:
    """`GET executions/{id}`, for which a 404 may mean "not yet" for `wait_s` seconds."""
    return Send("GET", f"executions/{quote(execution_id, safe='')}", {}, not_yet_s=wait_s)


def health() -> Send:
    """`GET health`, which says what is wrong with status 503."""
    return Send("GET", "health", {}, accepts=frozenset({503}))


def request(
    method: str,
    path: str,
    *,
    body: Mapping[str, Any] | None = None,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    wait_s: float = 0.0,
) -> Send:
    """Any route, with what is not `None`."""
    options = {"json": body, "params": params, "headers": headers}
    given = {name: value for name, value in options.items() if value is not None}
    return Send(method, path, given, not_yet_s=wait_s)


def _post(path: str, body: dict[str, Any], options: SearchOptions | ExtractOptions) -> Send:
    fields: dict[str, Any] = {**options}
    directives = [
        directive
        for field, directive in (
            ("no_cache", "no-cache"),
            ("no_store", "no-store"),
            ("only_if_cached", "only-if-cached"),
        )
        if fields.pop(field, False)
    ]
    if (max_age_s := fields.pop("max_age_s", None)) is not None:
        directives.append(f"max-age={int(max_age_s)}")
    if (stale_if_error_s := fields.pop("stale_if_error_s", None)) is not None:
        directives.append(f"stale-if-error={int(stale_if_error_s)}")
    extra = fields.pop("extra", {})
    given = {name: _plain(value) for name, value in fields.items() if value is not None}
    headers = {"Cache-Control": ", ".join(directives)} if directives else {}
    return Send("POST", path, {"json": {**extra, **body, **given}, "headers": headers})


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | bool | int | float) else list(value)
