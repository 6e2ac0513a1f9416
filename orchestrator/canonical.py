"""Whether two requests ask the same: one canonical form, one key.

The query is compared in Unicode form NFKC, without case and with single blanks; domain lists as sorted sets;
options with their defaults filled in; unknown fields as they are. What cannot change the answer is left out.
"""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Any

import msgspec

from orchestrator.model import ExtractRequest, SearchRequest

KEY_BYTES = 16
"""chosen: 128 bits; with 10^9 entries the chance of any collision is below 10^-20."""

_SAME_MODES = {"restrict": "filter", "prefer": "boost"}
"""Tavily's clients have both pairs of words for the two ways in which `include_domains` can be meant."""

_SPELLED_OUT = {"d": "day", "w": "week", "m": "month", "y": "year"}

_encoder = msgspec.json.Encoder(order="sorted")


def search_key(request: SearchRequest) -> str:
    """The key of a search: 32 hex digits."""
    r = request
    # With auto_parameters the provider chooses what was not given: "not given" is then a value of its own.
    depth, topic = (r.search_depth, r.topic) if r.auto_parameters else (r.depth, r.category)
    return _digest(
        "search",
        (
            normalize(r.query, keeps_case=bool(r.exact_match)),
            (depth, topic, r.limit, _chunks(r.chunks_per_source)),
            (_SPELLED_OUT.get(r.time_range or "", r.time_range), r.start_date, r.end_date, r.days),
            (_kind(r.include_answer, "basic"), _kind(r.include_raw_content, "markdown")),
            (bool(r.include_images), bool(r.include_image_descriptions), bool(r.include_favicon)),
            (sorted(set(r.include_domains)), sorted(set(r.exclude_domains)), _mode(r.include_domains_mode)),
            (r.country, r.language, bool(r.filter_by_language)),
            (bool(r.include_published_date), bool(r.filter_by_published_date)),
            (bool(r.auto_parameters), bool(r.exact_match), bool(r.safe_search)),
            r.extra,
        ),
    )


def page_key(request: ExtractRequest) -> str:
    """The key of one page of an extract, whose request holds exactly one URL: 32 hex digits."""
    r = request
    (url,) = r.urls
    query = None if r.query is None else normalize(r.query)
    options = (r.depth, r.format or "markdown", bool(r.include_images), bool(r.include_favicon))
    return _digest("page", (url, query, _chunks(r.chunks_per_source) if query else None, options, r.extra))


def clients_own(key: str, client: str) -> str:
    """The key under which a client's own answer to a question is kept where answers are not shared."""
    return _digest("client", (client, key))


def normalize(query: str, *, keeps_case: bool = False) -> str:
    """The form in which queries are compared; idempotent."""
    if not query.isascii():
        query = unicodedata.normalize("NFKC", query)
    folded = query if keeps_case else query.casefold()
    if not folded.isascii():
        folded = unicodedata.normalize("NFKC", folded)  # Case folding can undo the form (U+0345, for one).
    return " ".join(folded.split())


def _mode(given: str | None) -> str | None:
    return _SAME_MODES.get(given or "", given)


def _chunks(given: int | None) -> int:
    return 3 if given is None else given


def _kind(given: object, default: str) -> str:
    """The kind that was asked for: `True` is the default kind, `""` none."""
    return given if isinstance(given, str) else default if given else ""


def _digest(kind: str, form: tuple[Any, ...]) -> str:
    encoded = _encoder.encode((kind, form))
    return hashlib.blake2b(encoded, digest_size=KEY_BYTES).hexdigest()
