"""What Tavily refuses: wrong JSON types with 422, wrong values with 400, in its own words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from orchestrator.countries import COUNTRIES
from tests.support.http_server import Answer
from tests.support.simulator import json_answer

TYPES: dict[str, tuple[type, ...]] = {
    "query": (str,),
    "search_depth": (str,),
    "topic": (str,),
    "time_range": (str,),
    "start_date": (str,),
    "end_date": (str,),
    "country": (str,),
    "extract_depth": (str,),
    "format": (str,),
    "max_results": (int,),
    "chunks_per_source": (int,),
    "days": (int,),
    "include_answer": (bool, str),
    "include_raw_content": (bool, str),
    "include_images": (bool,),
    "include_image_descriptions": (bool,),
    "include_favicon": (bool,),
    "include_usage": (bool,),
    "auto_parameters": (bool,),
    "include_domains": (list,),
    "exclude_domains": (list,),
    "urls": (str, list),
    "timeout": (int, float),
}
"""JSON types of the fields that are checked; null is always accepted, unknown fields are ignored."""

CHOICES = {
    "topic": (("general", "news", "finance"), "Invalid topic. Must be 'general', 'news', or 'finance'"),
    "search_depth": (
        ("basic", "advanced", "fast", "ultra-fast"),
        "Invalid search depth. Must be 'basic' or 'advanced'.",
    ),
    "time_range": (("day", "week", "month", "year", "d", "w", "m", "y"), "Invalid time range."),
    "include_answer": (
        (True, False, "basic", "advanced"),
        "Invalid value for include_answer. Must be True, False, 'basic', or 'advanced'.",
    ),
    "country": (
        frozenset(COUNTRIES),
        (
            "Invalid country. Must be a valid country name from the list of supported countries "
            "(https://docs.tavily.com/documentation/api-reference/endpoint/search)."
        ),
    ),
}

DOMAINS_MAX = {"include_domains": 300, "exclude_domains": 150}


def shape_error(path: str, body: Any) -> Answer | None:
    """422 for what is not an object, lacks its required field or has a wrong JSON type."""
    if not isinstance(body, Mapping):
        return type_error("", "Input should be a valid dictionary or object to extract fields from", body)
    required = "query" if path == "/search" else "urls"
    if body.get(required) is None:
        return type_error(required, "Field required", dict(body), "missing")
    for name, types in TYPES.items():
        value = body.get(name)
        is_stray_bool = isinstance(value, bool) and bool not in types
        if value is not None and (is_stray_bool or not isinstance(value, types)):
            return type_error(name, f"Input should be a valid {types[0].__name__}", value)
    for name in ("include_domains", "exclude_domains", "urls"):
        for number, item in enumerate(body.get(name) or ()):
            if not isinstance(item, str):
                return type_error(name, "Input should be a valid string", item, number=number)
    if body.get("chunks_per_source") == 0:
        return type_error(
            "chunks_per_source", "Input should be greater than or equal to 1", 0, "greater_than_equal"
        )
    return None


def type_error(
    name: str, message: str, value: Any, kind: str = "string_type", number: int | None = None
) -> Answer:
    """A fault in the shape FastAPI gives it; `number` is the place within a list."""
    place = ["body", *([name] if name else []), *([] if number is None else [number])]
    return json_answer({"detail": [{"type": kind, "loc": place, "msg": message, "input": value}]}, 422)


def value_error(path: str, body: Mapping[str, Any]) -> Answer | None:
    """400 for values outside of their range."""
    checks = _search_faults(body) if path == "/search" else _extract_faults(body)
    text = next(checks, None)
    return None if text is None else json_answer({"detail": {"error": text}}, 400)


def _search_faults(body: Mapping[str, Any]) -> Iterator[str]:
    length = len(body["query"])
    if length == 0:
        yield "Query is missing."
    if length == 1:
        yield "Query is too short. Min query length is 2 characters."
    if length > 400:
        yield "Query is too long. Max query length is 400 characters."
    for name, (values, text) in CHOICES.items():
        if body.get(name) is not None and body[name] not in values:
            yield text
    if (body.get("max_results") or 0) < 0:
        yield "Invalid max results."
    yield from _window_faults(body)
    yield from _domain_faults(body)


def _window_faults(body: Mapping[str, Any]) -> Iterator[str]:
    days = [body[name] for name in ("start_date", "end_date") if body.get(name) is not None]
    for day in days:
        if not _is_day(day):
            yield f"Invalid date format. Expected YYYY-MM-DD, got: {day}"
    if len(days) == 2 and days[0] > days[1]:
        yield "start_date cannot be after end_date"
    if days and body.get("time_range") is not None:
        yield "When time_range is set, start_date or end_date cannot be set"


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _domain_faults(body: Mapping[str, Any]) -> Iterator[str]:
    for name, most in DOMAINS_MAX.items():
        domains = body.get(name) or []
        if len(domains) > most:
            yield f"Invalid value for {name}. Max {most} domains are allowed."
        if domains and not any("." in domain for domain in domains):
            yield (
                f"All domains in {name} are invalid: {domains}. Domains must have a valid suffix "
                "(e.g., 'tavily.com' instead of 'tavily')."
            )


def _extract_faults(body: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(body["urls"], str) and len(body["urls"]) > 20:
        yield "Max 20 URLs are allowed."
    if body.get("extract_depth") not in (None, "basic", "advanced"):
        yield "Invalid extract depth. Must be 'basic' or 'advanced'."
    if body.get("format") not in (None, "markdown", "text"):
        yield "Invalid format. Must be 'markdown' or 'text'."
