"""The fields of a request that a provider may or may not be able to honour, and which of them were given.

Only what makes a difference counts: `topic: general` asks for nothing. The domain lists are honoured whatever
a provider does with them, since the stage that validates results drops what they rule out.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from orchestrator.model import SearchRequest

NEUTRAL = {"topic": ("general",), "search_depth": ("basic",), "include_domains_mode": ("filter", "restrict")}
"""Values that ask for nothing beyond what every search does."""

TERMS = (
    *("search_depth", "topic", "chunks_per_source", "time_range", "start_date", "end_date", "days"),
    *("include_answer", "include_raw_content", "include_images", "include_image_descriptions"),
    *("include_favicon", "include_domains_mode", "country", "language", "filter_by_language"),
    *("filter_by_published_date", "auto_parameters", "exact_match", "safe_search"),
)
"""The fields that change what is found, in the order of the request. `include_published_date` is none: a date
that is known is told anyway."""


def unsupported(request: SearchRequest, honoured: Collection[str]) -> tuple[str, ...]:
    """The fields that were given, and are not among those that the provider honours."""
    names = [name for name in TERMS if name not in honoured and is_asked(request, name)]
    extra = [name for name in request.extra if name != "include_usage" and name not in honoured]
    return (*names, *extra)


def is_asked(request: SearchRequest, name: str) -> bool:
    """Whether the field was given, and asks for something."""
    value: Any = getattr(request, name)
    return bool(value) and value not in NEUTRAL.get(name, ())
