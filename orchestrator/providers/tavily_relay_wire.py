"""Requests that are passed on, on the wire: bodies, prices, answers. Pure; tavily_relay.py does the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from orchestrator import limits
from orchestrator.events import FREE, Cost
from orchestrator.providers.billing import billed_amount
from orchestrator.providers.tavily_wire import NEVER_SENT, search_cost
from orchestrator.relays import (
    CRAWL,
    MAP,
    OF_PAGES,
    RESEARCH,
    RESEARCH_STATUS,
    RelayAnswer,
    RelayRequest,
    positive,
)

PATHS = {
    "map": "/map",
    "crawl": "/crawl",
    "research": "/research",
    "research_status": "/research/",
    "feedback": "/feedback",
}
"""Where each operation goes; that of a status is followed by the task."""

TIMEOUT_S = (10.0, 150.0)
"""Tavily's API description: the range of `timeout` of a map or crawl."""

PAGES_DEFAULT = 50
"""Tavily's API description: `limit` when it is not given."""

MAP_CREDITS = {False: 0.1, True: 0.2}
"""Tavily's price list: 1 credit for 10 pages, 2 with `instructions`."""

CRAWL_CREDITS = {"basic": 0.2, "advanced": 0.4}
"""Tavily's price list: what a crawl costs a page beyond the map, which is what an extract costs."""

RESEARCH_CREDITS_MAX = {"mini": 110, "pro": 250, "auto": 250}
"""Tavily's price list: the most that a research costs. What it did cost is told when it is done, to whoever
asks then, perhaps more than once: so this is what counts, as assumed."""

_ANSWER = msgspec.json.Decoder(dict[str, Any], strict=False)


def estimate(request: RelayRequest) -> Cost:
    """The most that it can be expected to cost."""
    if request.operation in OF_PAGES:
        return _of_pages(request, _pages(request.body.get("limit"), PAGES_DEFAULT))
    if request.operation == RESEARCH:
        model = request.body.get("model")
        return search_cost(RESEARCH_CREDITS_MAX.get(model if isinstance(model, str) else "", 250))
    return FREE


def _of_pages(request: RelayRequest, pages: int) -> Cost:
    """The price list's price of a map or crawl that has found so many pages."""
    found = math.ceil(pages * MAP_CREDITS[bool(request.body.get("instructions"))])
    read = pages * CRAWL_CREDITS.get(request.depth, CRAWL_CREDITS["advanced"])
    return search_cost(found + (math.ceil(round(read, 6)) if request.operation == CRAWL else 0))


def _pages(given: object, default: int) -> int:
    """A number of pages as it was validated: 5.0 is 5."""
    number = positive(given)
    return default if number is None else int(number)


def body(request: RelayRequest) -> dict[str, Any]:
    """The JSON to send: what the caller gave, but for a key; the price of pages is asked for."""
    sent = {name: value for name, value in request.body.items() if name not in NEVER_SENT}
    if request.operation not in OF_PAGES:
        return sent
    if request.patience_s is not None:
        shortest, longest = TIMEOUT_S
        sent["timeout"] = min(max(request.patience_s, shortest), longest)
    return {**sent, "include_usage": True}


def read(content: bytes, request: RelayRequest, *, is_pending: bool) -> tuple[RelayAnswer, Cost]:
    """The answer and its price. Raises msgspec.DecodeError (ValidationError for the wrong shape)."""
    found = _ANSWER.decode(content)
    usage = found.get("usage")
    cost = FREE
    if request.operation in OF_PAGES:
        if not isinstance(found.get("results"), list):
            raise msgspec.ValidationError("results: expected a list")
        cost = _billed(usage, request, len(found["results"]))
    if not request.wants_usage:
        found.pop("usage", None)
    found.pop("amos", None)  # of a gateway that answers as Tavily: what it says of itself is not our word
    return RelayAnswer(content=found, count=_count(found, request), is_pending=is_pending), cost


def _billed(usage: object, request: RelayRequest, pages: int) -> Cost:
    """What was billed, else what the price list says of so many pages."""
    told = usage.get("credits") if isinstance(usage, Mapping) else None
    billed = billed_amount(told, limits.RELAY_CREDITS_MAX)
    return _of_pages(request, pages) if billed is None else search_cost(billed)


def _count(found: Mapping[str, Any], request: RelayRequest) -> int:
    """How many results it is: pages, sources of a research that is done, else one answer."""
    if request.operation in (MAP, CRAWL):
        return len(found["results"])
    sources = found.get("sources")
    if request.operation == RESEARCH_STATUS and isinstance(sources, list):
        return max(len(sources), 1)
    return 1
