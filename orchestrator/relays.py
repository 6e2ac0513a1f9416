"""What is passed on to Tavily as it is: the requests we do not understand ourselves, and their answers.

A search can be answered by anybody, so it is ours; a crawl or a research is Tavily's own product. It goes
through the same doors, limits, budgets and records, and nothing is cached. Tavily's words are kept: the body
is the caller's, less what is meant for us.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

MAP, CRAWL, RESEARCH, RESEARCH_STATUS, FEEDBACK = "map", "crawl", "research", "research_status", "feedback"

OPERATIONS = (MAP, CRAWL, RESEARCH, RESEARCH_STATUS, FEEDBACK)
"""What can be passed on; the names stand in events, reports and metrics."""

OF_PAGES = frozenset({MAP, CRAWL})
"""Operations that begin at a URL."""

RELAYED = "relayed"
"""The value of `cache` in the last word of a call that was passed on: there is no cache to hit or to miss."""


Sink = Callable[[bytes], Awaitable[None]]


class RelayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to be passed on. `body` is the caller's JSON object, without a key and without nulls.

    `task` is the `request_id` a research is asked for by. `wants_usage` says whether the caller gets to see
    the price, which is asked for in any case. `sink` takes the pieces of an answer that is streamed
    (`body["stream"]`), in order, while it is made; `None` where nobody takes any.
    """

    operation: str
    body: dict[str, Any] = {}
    task: str = ""
    wants_usage: bool = False
    sink: Sink | None = None

    @property
    def is_streamed(self) -> bool:
        """Whether the answer is to come in pieces."""
        return self.operation == RESEARCH and self.body.get("stream") is True

    @property
    def depth(self) -> str:
        """How thoroughly pages are read, `""` where none are or what is given is no text."""
        given = self.body.get("extract_depth", "basic" if self.operation == CRAWL else "")
        return given if isinstance(given, str) else ""

    @property
    def patience_s(self) -> float | None:
        """The caller's own `timeout` in seconds; `None` without one, or while it is none to go by."""
        return positive(self.body.get("timeout"))

    @property
    def category(self) -> str:
        """There are no topics; `""` keeps folds uniform."""
        return ""


def positive(given: object) -> float | None:
    """A positive, finite number, at most a thousand million; `None` for anything else."""
    if isinstance(given, int | float) and not isinstance(given, bool) and 0 < given < float("inf"):
        return float(min(given, 1e9))
    return None


class RelayAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Tavily's answer: the members of its JSON object. `is_pending`: what was asked for is still made."""

    content: dict[str, Any]
    count: int = 1
    is_pending: bool = False
