"""Refuses what should not even be passed on.

Tavily checks its own fields, and knows newer ones than we do. Looked at here is what decides where a request
leads (its URL), how long it takes and what it may cost, and what AMOS itself cannot do.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from orchestrator import limits
from orchestrator.checks import check_choice, check_url, clean_text
from orchestrator.errors import InvalidRequest, NotOffered, TaskNotFound
from orchestrator.relays import CRAWL, FEEDBACK, MAP, RESEARCH, RESEARCH_STATUS, RelayRequest, positive

_NUMBERS = {
    "max_depth": (1, 5),
    "max_breadth": (1, 500),
    "limit": (1, limits.RELAY_PAGES_MAX),
    "chunks_per_source": (1, 5),
}
"""Tavily's API description: the ranges of the fields a price or a stay depends on; of `limit` the end is
ours."""

_CHOICES: dict[str, tuple[str, ...]] = {
    "extract_depth": ("basic", "advanced"),
    "format": ("markdown", "text"),
    "model": ("mini", "pro", "auto"),
    "citation_format": ("numbered", "mla", "apa", "chicago"),
}

_TASK = re.compile(r"[A-Za-z0-9._-]{1,200}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_OWN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")

NO_TASK = "Research task not found"
"""Tavily's own words for it."""

Checked = tuple[RelayRequest, tuple[str, ...]]


def check_relay(request: RelayRequest) -> Checked:
    """The request as it may be passed on, and notes about what was changed.

    Raises InvalidRequest, NotOffered, TaskNotFound.
    """
    return _CHECKS[request.operation](request)


def _check_pages(request: RelayRequest) -> Checked:
    body = request.body
    url = body.get("url")
    if not url:
        raise InvalidRequest("url: No starting url provided.", field="url")
    if not isinstance(url, str):
        raise InvalidRequest("url: expected a string.", field="url")
    check_url("url", full_url(url), field="url")
    _check_text(body, "instructions")
    for name, (low, high) in _NUMBERS.items():
        _check_number(body, name, low, high)
    for name in ("extract_depth", "format"):
        check_choice(name, body.get(name), _CHOICES[name])
    for name in ("select_paths", "exclude_paths", "select_domains", "exclude_domains"):
        _check_strings(body, name, limits.INCLUDE_DOMAINS_MAX)
    _check_patience(body)
    return request, ()


def full_url(url: str) -> str:
    """The address with its scheme: Tavily takes `docs.example.com` too."""
    return url if _SCHEME.match(url) else f"https://{url}"


def _check_research(request: RelayRequest) -> Checked:
    body = request.body
    if not isinstance(body.get("stream", False), bool):
        raise InvalidRequest("stream: expected true or false.", field="stream")
    if request.is_streamed and request.sink is None:
        raise NotOffered("stream: Nobody takes a stream here. Leave it out.")
    text = body.get("input")
    if not isinstance(text, str):
        raise InvalidRequest("input: expected a string: what is to be researched.", field="input")
    if not clean_text(text):
        raise InvalidRequest("input: The input is missing.", field="input")
    check_choice("model", body.get("model"), _CHOICES["model"])
    check_choice("citation_format", body.get("citation_format"), _CHOICES["citation_format"])
    for name in ("include_domains", "exclude_domains"):
        _check_strings(body, name, limits.RESEARCH_DOMAINS_MAX)
    return request, ()


def _check_status(request: RelayRequest) -> Checked:
    if _TASK.fullmatch(request.task) is None:
        raise TaskNotFound(NO_TASK)
    return request, ()


def _check_feedback(request: RelayRequest) -> Checked:
    given = request.body.get("request_id")
    if given is not None and not isinstance(given, str):
        raise InvalidRequest("request_id: expected a string.", field="request_id")
    if not request.body:
        raise InvalidRequest("request_id: The request_id is missing.", field="request_id")
    if given is not None and _OWN_ID.fullmatch(given) is not None:
        raise NotOffered(
            "request_id: AMOS passes no feedback on for its own searches and extracts: the id is AMOS's, and "
            "Tavily, which may not even have been asked, does not know it."
        )
    return request, ()


def _check_patience(body: dict[str, Any]) -> None:
    if "timeout" not in body:
        return
    timeout_s = positive(body["timeout"])
    if timeout_s is None or timeout_s < limits.EXTRACT_TIMEOUT_S_MIN:
        raise InvalidRequest(
            f"timeout: Must be {limits.EXTRACT_TIMEOUT_S_MIN:g} or more seconds.", field="timeout"
        )


def _check_text(body: dict[str, Any], name: str) -> None:
    if not isinstance(body.get(name, ""), str):
        raise InvalidRequest(f"{name}: expected a string.", field=name)


def _check_number(body: dict[str, Any], name: str, low: int, high: int) -> None:
    value = body.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or value % 1:
        raise InvalidRequest(f"{name}: expected an integer.", field=name)
    if not low <= value <= high:
        raise InvalidRequest(f"{name}: Must be from {low} to {high}.", field=name)


def _check_strings(body: dict[str, Any], name: str, most: int) -> None:
    value = body.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InvalidRequest(f"{name}: expected a list of strings.", field=name)
    if len(value) > most:
        raise InvalidRequest(f"{name}: Max {most} are allowed.", field=name)


_CHECKS: dict[str, Callable[[RelayRequest], Checked]] = {
    MAP: _check_pages,
    CRAWL: _check_pages,
    RESEARCH: _check_research,
    RESEARCH_STATUS: _check_status,
    FEEDBACK: _check_feedback,
}
