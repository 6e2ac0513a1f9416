"""Refuses what no provider should see, and cleans what is harmless.

The rules and most sentences are Tavily's documented ones, because its client libraries show them to people;
the reason always names the field. Values that clients are known to send beyond a range (25 results) are
reduced and said so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Any, Generic, TypeVar

import msgspec

from orchestrator import limits
from orchestrator.checks import KEPT_AS_BLANK, check_choice, check_url, clean_text
from orchestrator.countries import COUNTRIES, country_name
from orchestrator.errors import InvalidRequest
from orchestrator.model import (
    ANSWERS,
    DEPTHS,
    DOMAINS_MODES,
    FORMATS,
    RAW_CONTENTS,
    TIME_RANGES,
    TOPICS,
    Call,
    ExtractRequest,
    RequestT,
    Response,
    SearchRequest,
)
from orchestrator.service import Service
from orchestrator.via import check_via

CheckedT = TypeVar("CheckedT", SearchRequest, ExtractRequest)

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


_BARE = SearchRequest(query="")


class ValidateFilter(Generic[RequestT]):
    """Passes on a checked and cleaned request. `check` returns it with notes about what was reduced.

    A call that has come back to this `installation` is refused here too: a stage of its own would cost every
    hit a frame, and behind this one the call would wait for itself (via.py).
    """

    def __init__(
        self, check: Callable[[RequestT], tuple[RequestT, tuple[str, ...]]], installation: str = ""
    ) -> None:
        self._check = check
        self._installation = installation

    async def __call__(self, call: Call[RequestT], service: Service[RequestT, Response]) -> Response:
        """Answer a valid request. Raises InvalidRequest naming the field, and LoopDetected."""
        if call.caller.via:
            check_via(call.caller.via, self._installation)
        request, notes = self._check(call.request)
        if request is not call.request:
            call = msgspec.structs.replace(call, request=request)
        response = await service(call)
        return msgspec.structs.replace(response, notes=(*notes, *response.notes)) if notes else response


def check_search(request: SearchRequest) -> tuple[SearchRequest, tuple[str, ...]]:
    """The search as providers may see it. Raises InvalidRequest."""
    query = clean_text(request.query)
    _check_query(query)
    if query == request.query and _has_no_options(request):
        return request, ()
    notes: list[str] = []
    _note_removed("query", request.query, query, notes)
    changes: dict[str, Any] = {}
    check_choice("search_depth", request.search_depth, DEPTHS)
    check_choice("topic", request.topic, TOPICS)
    check_choice("include_answer", request.include_answer, ANSWERS)
    check_choice("include_raw_content", request.include_raw_content, RAW_CONTENTS)
    check_choice("include_domains_mode", request.include_domains_mode, DOMAINS_MODES)
    _check_window(request)
    _check_extra(request.extra)
    changes["query"] = query
    changes["max_results"] = _clamped("max_results", request.max_results, 0, limits.RESULTS_MAX, notes)
    changes["chunks_per_source"] = _clamped("chunks_per_source", request.chunks_per_source, 1, 3, notes)
    changes["days"] = _clamped("days", request.days, 1, limits.DAYS_MAX, notes)
    changes["include_domains"] = _domains(
        "include_domains", request.include_domains, limits.INCLUDE_DOMAINS_MAX
    )
    changes["exclude_domains"] = _domains(
        "exclude_domains", request.exclude_domains, limits.EXCLUDE_DOMAINS_MAX
    )
    changes["country"] = _country(request)
    return _changed(request, changes), tuple(notes)


def _has_no_options(request: SearchRequest) -> bool:
    """Whether there is nothing but a query and perhaps a number of results: most searches are so."""
    if request.max_results is not None and not 0 <= request.max_results <= limits.RESULTS_MAX:
        return False
    return bool(msgspec.structs.replace(request, query="", max_results=None) == _BARE)


def check_extract(request: ExtractRequest) -> tuple[ExtractRequest, tuple[str, ...]]:
    """The extract as providers may see it. Raises InvalidRequest."""
    notes: list[str] = []
    changes: dict[str, Any] = {}
    if not request.urls:
        raise InvalidRequest("urls: at least one URL is needed.", field="urls")
    if len(request.urls) > limits.URLS_MAX:
        raise InvalidRequest(f"urls: Max {limits.URLS_MAX} URLs are allowed.", field="urls")
    for position, url in enumerate(request.urls):
        check_url(f"urls[{position}]", url, field="urls")
    if request.query is not None:
        changes["query"] = clean_text(request.query) or None
        _note_removed("query", request.query, changes["query"] or "", notes)
    check_choice("extract_depth", request.extract_depth, DEPTHS[:2])
    check_choice("format", request.format, FORMATS)
    _check_extra(request.extra)
    changes["chunks_per_source"] = _clamped("chunks_per_source", request.chunks_per_source, 1, 5, notes)
    if request.timeout_s is not None and not limits.EXTRACT_TIMEOUT_S_MIN <= request.timeout_s < float("inf"):
        raise InvalidRequest(
            f"timeout: Must be {limits.EXTRACT_TIMEOUT_S_MIN:g} or more seconds.", field="timeout"
        )
    return _changed(request, changes), tuple(notes)


def _note_removed(field: str, given: str, cleaned: str, notes: list[str]) -> None:
    """Say so if more than blanks is gone: the query looks the same as the caller's and is not."""
    if len(cleaned) != len(given) and cleaned != given.translate(KEPT_AS_BLANK).strip():
        notes.append(f"Control or invisible characters were removed from {field}.")


def _check_query(query: str) -> None:
    if not query:
        raise InvalidRequest("query: Query is missing.", field="query")
    if len(query) < limits.QUERY_CHARS_MIN:
        raise InvalidRequest(
            f"query: Query is too short. Min query length is {limits.QUERY_CHARS_MIN} characters.",
            field="query",
        )
    if len(query) > limits.QUERY_CHARS_MAX:
        raise InvalidRequest(
            f"query: Query is too long. Max query length is {limits.QUERY_CHARS_MAX} characters.",
            field="query",
        )


def _check_window(request: SearchRequest) -> None:
    check_choice("time_range", request.time_range, TIME_RANGES)
    start = _date("start_date", request.start_date)
    end = _date("end_date", request.end_date)
    if request.time_range and (start or end):
        raise InvalidRequest(
            "time_range: When time_range is set, start_date or end_date cannot be set.", field="time_range"
        )
    if start and end and start > end:
        raise InvalidRequest("start_date: start_date cannot be after end_date.", field="start_date")


def _date(field: str, value: str | None) -> date | None:
    if value is None:
        return None
    try:
        if _DATE.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise InvalidRequest(f"{field}: Invalid date. Expected YYYY-MM-DD.", field=field)


def _clamped(field: str, value: int | None, low: int, high: int, notes: list[str]) -> int | None:
    """The value within the range: too small is refused, too large is reduced and noted."""
    if value is None:
        return None
    if value < low:
        raise InvalidRequest(f"{field}: Must be {low} or more.", field=field)
    if value > high:
        notes.append(f"{field} was reduced to {high}, the most there is.")
        return high
    return value


def _domains(field: str, domains: tuple[str, ...], most: int) -> tuple[str, ...]:
    """The domains in lower case, without scheme and blanks. Wildcards and paths are left as they are."""
    if len(domains) > most:
        raise InvalidRequest(
            f"{field}: Invalid value for {field}. Max {most} domains are allowed.", field=field
        )
    cleaned = []
    for position, domain in enumerate(domains):
        name = clean_text(domain).lower()
        name = name.removeprefix("https://").removeprefix("http://").rstrip("/")
        if not name or len(name) > limits.URL_CHARS_MAX or " " in name:
            raise InvalidRequest(f"{field}[{position}]: Not a domain name.", field=field)
        cleaned.append(name)
    return tuple(cleaned)


def _country(request: SearchRequest) -> str | None:
    if not request.country:
        return None
    name = country_name(request.country)
    if name is None:
        raise InvalidRequest(
            f"country: Invalid country. Must be one of the {len(COUNTRIES)} supported English country names, "
            "for example 'germany', or a two-letter code.",
            field="country",
        )
    return name


def _check_extra(extra: dict[str, Any]) -> None:
    if len(extra) > limits.EXTRA_FIELDS_MAX:
        raise InvalidRequest(f"Too many unknown fields: at most {limits.EXTRA_FIELDS_MAX} are passed on.")
    if extra and len(msgspec.json.encode(extra)) > limits.EXTRA_BYTES_MAX:
        raise InvalidRequest(f"The unknown fields are too large: at most {limits.EXTRA_BYTES_MAX} bytes.")


def _changed(request: CheckedT, changes: dict[str, Any]) -> CheckedT:
    """The request with the changes, or the very same object when nothing changed."""
    if all(getattr(request, name) == value for name, value in changes.items()):
        return request
    return msgspec.structs.replace(request, **changes)
