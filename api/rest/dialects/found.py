"""The results of a search as the dialects that are not native need them: taken apart, from the fragment.

Texts stay encoded on the way from the fragment into the answer, which halves the time that long ones take.
The native dialect passes the whole fragment on as it is. None of these structs can be part of a cycle, so the
garbage collector does not look at them (`gc=False`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache

import msgspec

REMEMBERED_MAX = 256
"""chosen: of the answers a busy gateway gives, these are most. With what was written they are 10 MB for each
dialect at the very most, and 2 MB usually."""

REMEMBERED_BYTES_MAX = 16_384
"""chosen: three times the usual answer. What a larger one costs to write is little beside sending it."""


class Hit(msgspec.Struct, frozen=True, gc=False):
    """One result, with what these dialects show of it, its members still in JSON."""

    title: msgspec.Raw
    url: msgspec.Raw
    content: msgspec.Raw
    score: msgspec.Raw
    published_date: str | None = None


class _Fragment(msgspec.Struct, frozen=True, gc=False):
    results: tuple[Hit, ...]


_encode = msgspec.json.Encoder().encode
_decode_text = msgspec.json.Decoder(str).decode
_decode = msgspec.json.Decoder(_Fragment).decode
_ISO = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}:\d{2}).*)?")


class Remembered:
    """A writer of results that remembers what it wrote for the answers asked last.

    Small answers in the memory of a busy gateway are the same objects call after call, whose hash is known to
    them: then looking costs a tenth of a microsecond, and writing ten results seven.
    """

    def __init__(self, write: Callable[..., msgspec.Raw]) -> None:
        self._write = write
        self._memo = lru_cache(maxsize=REMEMBERED_MAX)(write)

    def __call__(self, fragment: bytes, *how: Hashable) -> msgspec.Raw:
        """The results of this fragment in JSON; `how` is all that else decides what is written."""
        if len(fragment) > REMEMBERED_BYTES_MAX:
            return self._write(fragment, *how)
        return self._memo(fragment, *how)

    def __len__(self) -> int:
        """How many it remembers."""
        return self._memo.cache_info().currsize


def text_of(raw: msgspec.Raw) -> str:
    """A text of a hit, read."""
    return _decode_text(raw)


def hits_of(fragment: bytes) -> tuple[Hit, ...]:
    """The results of an answer, best first."""
    return _decode(b"{%b}" % fragment).results


def encoded(results: Sequence[msgspec.Struct]) -> msgspec.Raw:
    """Results of a dialect in JSON, to stand in its answer."""
    return msgspec.Raw(_encode(results))


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
