"""What a caller may still ask, as headers: `RateLimit-Policy` and `RateLimit`.

The syntax is that of draft-ietf-httpapi-ratelimit-headers-10, which is not a standard yet and has changed
before: its names and its problem types are here and nowhere else.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

from orchestrator.errors import GatewayError, Overloaded, RateLimited, RefusedTooOften

if TYPE_CHECKING:
    from api.rest.exchange import Header
    from orchestrator.model import Trail
    from orchestrator.quota import Verdict, Window

_PROBLEM_TYPES = "https://iana.org/assignments/http-problem-types#"


def limit_headers(trail: Trail) -> tuple[Header, ...]:
    """Policy and state of the caller's limits; nothing for a caller without any, or not charged yet."""
    verdict = trail.verdict
    if verdict is None:
        return ()
    return (policy(verdict.windows), (b"ratelimit", state(verdict)))


@lru_cache(maxsize=1_024)
def policy(windows: tuple[Window, ...]) -> Header:
    """All windows. `w` is whole seconds, rounded up: who keeps to the longer one keeps to the limit."""
    items = (f'"{window.name}";q={window.quota};w={math.ceil(window.period_s)}' for window in windows)
    return b"ratelimit-policy", ", ".join(items).encode()


def state(verdict: Verdict) -> bytes:
    """The tightest window: `r` calls may follow at once, and in `t` seconds more fit again."""
    place = verdict.tightest
    return b'"%b";r=%d;t=%d' % (
        verdict.windows[place].name.encode(),
        verdict.remaining[place],
        math.ceil(verdict.reset_s[place]),
    )


def problem_type(error: GatewayError) -> tuple[str, tuple[str, ...]]:
    """The problem type of a failure, `about:blank` without one of its own, and the limits it violates."""
    match error:
        case RateLimited():
            return _PROBLEM_TYPES + "quota-exceeded", error.windows
        case Overloaded():
            return _PROBLEM_TYPES + "temporary-reduced-capacity", ()
        case RefusedTooOften():
            return _PROBLEM_TYPES + "abnormal-usage-detected", ()
        case _:
            return "about:blank", ()
