"""Makes text harmless for a log: one line of printable characters, without anything that looks like a secret.

What we write ourselves holds no secret by construction. This is for what others write, libraries and
exceptions, and it is the last look at everything.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator

from orchestrator.errors import GatewayError

FRAMES_MAX = 30
"""chosen: frames of one exception that are shown, the last ones; a recursion has a thousand equal ones."""

CAUSES_MAX = 4
"""chosen: exceptions of one chain that are shown, the last ones."""

TEXT_CHARS_MAX = 2_000
"""chosen: what fits into a line (formats.CUTS) and a bit more; making a megabyte printable takes a second."""

_HIDDEN = "***"

_SECRETS = (
    (re.compile(r"\bamos_live_\w+"), _HIDDEN),
    (re.compile(r"\b(?:tvly-[\w-]+|jina_\w{8,})"), _HIDDEN),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), rf"\1 {_HIDDEN}"),
    (re.compile(r"(?<=://)[^/\s]+@"), f"{_HIDDEN}@"),
    (
        re.compile(r"""(?i)(api[_-]?key|token|password|secret)(['"]?\s*[=:]\s*['"]?)[^\s&'",;]+"""),
        rf"\1\2{_HIDDEN}",
    ),
)
"""What keys of ours and of providers, credentials in headers and in addresses look like."""

_TELLING = (GatewayError, AttributeError, ImportError, NameError, NotImplementedError, TypeError)
"""Exceptions whose message names our own things. That of any other may quote what a stranger sent."""


def printable(text: str) -> str:
    """The text in one line, with what cannot be seen made visible: a line feed as a backslash and an n."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def redacted(text: str) -> str:
    """The text without what looks like a secret."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def cut(text: str, chars_max: int) -> str:
    """The text, or its beginning and the longer part of its end: what matters of a stack comes last."""
    if len(text) <= chars_max:
        return text
    begin = chars_max // 3
    return f"{text[:begin]} ... {text[begin - chars_max :]}"


def harmless(text: str) -> str:
    """All of it, of at most `TEXT_CHARS_MAX` characters; the secrets first, or half of one might stay."""
    return printable(cut(redacted(text), TEXT_CHARS_MAX))


def message_of(error: BaseException) -> str:
    """What an exception says, as far as it may be shown; `""` for nothing."""
    if isinstance(error, OSError):
        return harmless(error.strerror or "")
    return harmless(str(error)) if isinstance(error, _TELLING) else ""


def stack_of(error: BaseException) -> list[str]:
    """Where an exception and what led to it was raised, the cause first, one line each; no value of it."""
    return [line for one in list(_chain(error))[:CAUSES_MAX][::-1] for line in _stack(one)]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _stack(error: BaseException) -> Iterator[str]:
    yield "Traceback (most recent call last):"
    for frame in traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:]:
        yield harmless(f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}')
    name, message = type(error).__qualname__, message_of(error)
    yield f"{name}: {message}" if message else name
