"""The ways in which a simulated upstream can misbehave, as values that also travel as JSON."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Literal, Self

import msgspec

Kind = Literal[
    "none", "status", "body", "variant", "close", "reset", "cut", "truncate", "drip", "garbage", "hang"
]


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One way to misbehave. Make them with the class methods; as JSON they are plain objects.

    `delay_s` comes before whatever the fault does. For `status`, `shape` is the form of the error body:
    `normal` is the upstream's own envelope; `flat`, `string`, `list`, `absent`, `html`, `empty` and `raw` are
    the deviations seen. With `until`, a moment of the monotonic clock, `Retry-After` is the time up to that.
    """

    kind: Kind = "none"
    code: int = 0
    shape: str = "normal"
    number: int = 0
    retry_after: str | None = None
    text: str = ""
    content_type: str = "application/json"
    variant_name: str = ""
    set_cookie: str = ""
    delay_s: float = 0.0
    until: float = 0.0
    interval_s: float = 0.0

    @classmethod
    def status(
        cls,
        code: int,
        *,
        retry_after: float | str | None = None,
        shape: str = "normal",
        number: int = 0,
        text: str = "",
    ) -> Self:
        """An HTTP status with its documented body.

        `retry_after` is a number of seconds, or `"date"` for an HTTP-date one minute ahead, or any text.
        `number` is Jina's five-digit status (0: the usual one for the code). `text` replaces the message.
        """
        value = formatdate(time.time() + 60, usegmt=True) if retry_after == "date" else retry_after
        header = None if value is None else str(value)
        return cls(kind="status", code=code, retry_after=header, shape=shape, number=number, text=text)

    @classmethod
    def body(cls, text: str, *, content_type: str = "application/json", code: int = 200) -> Self:
        """A status 200 (or `code`) with any body at all."""
        return cls(kind="body", code=code, text=text, content_type=content_type)

    @classmethod
    def variant(cls, name: str) -> Self:
        """A good answer in one of its known other forms; each simulator lists its own in `VARIANTS`."""
        return cls(kind="variant", variant_name=name)

    @classmethod
    def empty(cls) -> Self:
        """The upstream's way to say that nothing was found."""
        return cls(kind="variant", variant_name="empty")

    @classmethod
    def delay(cls, seconds: float) -> Self:
        """A good answer, late."""
        return cls(delay_s=seconds)

    @classmethod
    def close(cls) -> Self:
        """The connection is closed in good order, without an answer."""
        return cls(kind="close")

    @classmethod
    def reset(cls) -> Self:
        """The connection is reset before any answer."""
        return cls(kind="reset")

    @classmethod
    def cut(cls) -> Self:
        """The connection is reset in the middle of the body."""
        return cls(kind="cut")

    @classmethod
    def truncate(cls) -> Self:
        """The connection is closed in good order in the middle of the body."""
        return cls(kind="truncate")

    @classmethod
    def drip(cls, interval_s: float = 0.1) -> Self:
        """A good answer, sixteen bytes at a time with `interval_s` between them."""
        return cls(kind="drip", interval_s=interval_s)

    @classmethod
    def garbage(cls) -> Self:
        """Bytes that are not HTTP."""
        return cls(kind="garbage")

    @classmethod
    def hang(cls) -> Self:
        """No answer, ever."""
        return cls(kind="hang")


NO_FAULT = Fault()
"""A good answer, at once."""
