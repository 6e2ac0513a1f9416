"""The results of a search as the dialects that are not native need them: taken apart, from the fragment.

Texts stay encoded on the way from the fragment into the answer, which halves the time that long ones take.
The native dialect passes the whole fragment on as it is. None of these structs can be part of a cycle, so the
garbage collector does not look at them (`gc=False`).
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache

import msgspec

from orchestrator.model import Response


class Hit(msgspec.Struct, frozen=True, gc=False):
    """One result, with what these dialects show of it, its members still in JSON."""

    title: msgspec.Raw
    url: msgspec.Raw
    content: msgspec.Raw
    score: msgspec.Raw
    published_date: str | None = None


class _Fragment(msgspec.Struct, frozen=True, gc=False):
    results: tuple[Hit, ...]


_decode_text = msgspec.json.Decoder(str).decode
_decode = msgspec.json.Decoder(_Fragment).decode
_ISO = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}:\d{2}).*)?")


def text_of(raw: msgspec.Raw) -> str:
    """A text of a hit, read."""
    return _decode_text(raw)


def hits_of(response: Response) -> tuple[Hit, ...]:
    """The results of the answer, best first."""
    return _decode(b"{%b}" % response.fragment).results


@lru_cache(maxsize=4_096)
def moment(published_date: str) -> str:
    """A provider's date of publication as `YYYY-MM-DDThh:mm:ss`; `""` if it cannot be read.

    Providers write ISO 8601 or, as Tavily does for news, the form of RFC 5322, whose zone becomes UTC.
    """
    found = _ISO.fullmatch(published_date)
    if found is not None:
        return f"{found[1]}T{found[2] or '00:00:00'}"
    try:
        at = parsedate_to_datetime(published_date)
        return (at.astimezone(UTC) if at.tzinfo else at).strftime("%Y-%m-%dT%H:%M:%S")
    except (ValueError, OverflowError):
        return ""


def day(published_date: str | None) -> str | None:
    """The day of publication as `YYYY-MM-DD`, `None` if nobody knows."""
    return moment(published_date)[:10] or None if published_date else None
