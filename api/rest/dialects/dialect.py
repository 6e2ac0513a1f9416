"""What a wire format is to the endpoints: how a question is read, its answer written, which words it uses.

A dialect says nothing about providers, caches or limits: behind the parsed request all dialects are one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol

import msgspec

from orchestrator.errors import GatewayError, InvalidRequest
from orchestrator.model import RequestT, Response, SearchRequest


class Asked(msgspec.Struct, Generic[RequestT], frozen=True):
    """What a caller sent: the request, the key in its body (`None` without), and whether usage is wanted."""

    request: RequestT
    credential: str | None = None
    wants_usage: bool = False


class Question(Protocol):
    """What every parser returns: `Asked`, or what else a dialect has to remember until it answers."""

    @property
    def request(self) -> Any:
        """The request in our vocabulary."""

    @property
    def credential(self) -> str | None:
        """The key in the body, `None` without one."""


class Questions(Question, Protocol):
    """What a parser returns whose callers may ask several things at once."""

    @property
    def requests(self) -> Sequence[SearchRequest]:
        """All requests, the one of `Question` first."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one of several searches: an answer, or the failure in its place."""

    request: SearchRequest
    execution_id: str
    response: Response | None = None
    error: GatewayError | None = None


class Render(Protocol):
    """Writes the answer to a question. Never fails."""

    def __call__(self, asked: Any, response: Response, *, execution_id: str, duration_s: float) -> bytes:
        """The body of the answer."""


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """One operation in one wire format.

    `name` is that of events. `parsers` are by method and take body and query string; those of GET and HEAD
    get no body. `words` are our names of fields to the dialect's, for errors that rules behind every door
    raise. `render_several` writes the answer to a question with several `requests`; `None` where none has.
    """

    name: str
    parsers: Mapping[str, Callable[[bytes, bytes], Question]]
    render: Render
    words: Mapping[str, str] = {}
    render_several: Callable[[Any, Sequence[Outcome]], bytes] | None = None

    @property
    def methods(self) -> bytes:
        """What may be asked with, as the header Allow lists it."""
        return ", ".join(sorted({*self.parsers, "OPTIONS"})).encode()

    def in_its_words(self, error: GatewayError) -> GatewayError:
        """The error, with our names of fields replaced by those the caller wrote."""
        if not isinstance(error, InvalidRequest) or error.field not in self.words:
            return error
        names = "|".join(map(re.escape, self.words))
        compound = "|".join(re.escape(name) for name in self.words if "_" in name) or "$"
        # A plain word such as "query" is a field's name only where the sentence begins with it.
        message = re.sub(
            rf"^(?:{names})\b|\b(?:{compound})\b",
            lambda found: self.words.get(found[0], found[0]),
            error.message,
        )
        return InvalidRequest(message, field=self.words[error.field])
