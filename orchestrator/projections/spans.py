"""One execution as spans of a trace: the call itself, and beneath it each call to a provider.

Ids, moments and durations are those that were recorded, so a fold repeated gives the same spans. The call's
own span has the id that its answer's `traceparent` named, an attempt's the id that was sent to the provider.
What else happened stands as moments (*span events*) in the call's span; who waited for the answer of another
call is linked to it. No span holds a query, a URL or a cache key.

A failed attempt is an error of its own span and no error of the call, if that was answered all the same. A
caller's own fault is none of ours: only what a server owes (5xx) makes the call's span an error.

Clocks jump. A span lasts as long as a clock that does not jump has measured, and lies within its parent
unless it really outlived it, which its attribute `amos.outlived_call` then says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from orchestrator.errors import SearchFailed
from orchestrator.events import (
    AttemptEvent,
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    Envelope,
    FlightJoined,
    RequestCompleted,
    RequestFailed,
    RequestReceived,
)
from orchestrator.history import has_no_caller, has_refreshed, unsettled
from orchestrator.projections.span_attributes import (
    UNSETTLED,
    WEB_DOORS,
    Attributes,
    attempt_attributes,
    call_attributes,
    moment_of,
    refresh_attributes,
)
from orchestrator.trace_context import span_id_of, trace_id_of

SERVER, CLIENT, INTERNAL = "server", "client", "internal"
"""The kinds of span: a call that came in, a call that went out, work within the process."""

MOMENTS_MAX = 128
"""OpenTelemetry's default limit of events in a span (specification, "Span Limits")."""

SECONDS_MAX = 2.0**32
"""chosen: moments up to the year 2106; their nanoseconds, twice added, fit the 64 bits they are sent in."""

ERRORS_FROM = 500
"""The first status that is the server's fault (semantic conventions for HTTP spans, "Status")."""

StatusOf = Callable[[str, str], int]
"""The HTTP status of an error's code at a route; a door that is not HTTP judges by it too."""

_EXECUTION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SPAN_ID = re.compile(r"[0-9a-f]{16}")


class Moment(msgspec.Struct, frozen=True):
    """Something that happened within a span."""

    name: str
    at_ns: int
    attributes: Attributes


class Link(msgspec.Struct, frozen=True):
    """Another span that explains this one without being its parent."""

    trace_id: str
    span_id: str
    attributes: Attributes


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A span. Ids are hex digits, moments nanoseconds since 1970 UTC; `parent_id` is `""` for a root.

    `error` is the cause if the span is an error, `""` otherwise. `closed_by` is the number of the event that
    ended it, 0 for one whose end was never recorded.
    """

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str = ""
    is_parent_remote: bool = False
    start_ns: int
    end_ns: int
    error: str = ""
    attributes: Attributes
    moments: tuple[Moment, ...] = ()
    links: tuple[Link, ...] = ()
    closed_by: int = 0


class _Life(msgspec.Struct, frozen=True, kw_only=True):
    """When the call's span begins and ends, and the number of its last word (0 without one)."""

    start_ns: int
    end_ns: int
    closed_by: int


def is_execution(stream: str) -> bool:
    """Whether the stream is that of an execution, and not of facts that belong to none."""
    return _EXECUTION.fullmatch(stream) is not None


def spans(
    execution_id: str, envelopes: Sequence[Envelope], status_of: StatusOf, *, is_over: bool = False
) -> tuple[Span, ...]:
    """The spans of an execution that have ended, the call's first; none before its last word.

    `is_over` says that nothing more will be recorded: what has not ended then never will, and is shown as an
    error `unsettled` that lasts to the last thing known of it. Nothing is made of a history that has lost its
    beginning. Raises ValueError for one with times that cannot be.
    """
    if not (is_execution(execution_id) and envelopes):
        return ()
    is_warming = has_no_caller(envelopes)
    if not (is_warming or isinstance(envelopes[0].event, RequestReceived)):
        return ()
    last = _last(envelopes)
    if last is None and not is_over:
        return ()
    life = _life(envelopes, last)
    if is_warming:
        call = _refresh_span(execution_id, envelopes, life)
    else:
        call = _call_span(execution_id, envelopes, last, life, status_of)
    return (call, *_attempt_spans(call, envelopes, life, is_over=is_over))


def is_notable(envelopes: Sequence[Envelope], status_of: StatusOf, slow_s: float) -> bool:
    """Whether the execution is kept however few are sampled: an error, a fallback, or slow.

    It goes by what was known at the last word, so that what comes later is kept or not with the rest; an
    attempt that was open at that moment, or a missing last word, makes it notable.
    """
    for number, envelope in enumerate(envelopes):
        match envelope.event:
            case AttemptFailed():
                return True
            case RequestCompleted() as done:
                is_odd = done.fallback or done.degraded or done.duration_s >= slow_s
                return is_odd or bool(unsettled(envelopes[:number]))
            case RequestFailed() as failed:
                is_ours = status_of(failed.error, "") >= ERRORS_FROM
                return is_ours or failed.duration_s >= slow_s or bool(unsettled(envelopes[:number]))
            case _:
                pass
    return not has_no_caller(envelopes) or bool(unsettled(envelopes))


def _last(envelopes: Sequence[Envelope]) -> Envelope | None:
    """The last word; without a caller nobody says one, and it is over when no attempt is open."""
    if has_no_caller(envelopes):
        return None if unsettled(envelopes) else envelopes[-1]
    return next((e for e in envelopes if isinstance(e.event, RequestCompleted | RequestFailed)), None)


def _life(envelopes: Sequence[Envelope], last: Envelope | None) -> _Life:
    start_ns = _ns(envelopes[0].at)
    if last is None:
        end_ns = max(start_ns, *(_ns(envelope.at) for envelope in envelopes))
        return _Life(start_ns=start_ns, end_ns=end_ns, closed_by=0)
    if has_no_caller(envelopes):
        return _Life(start_ns=start_ns, end_ns=max(start_ns, _ns(last.at)), closed_by=last.seq)
    end_ns = start_ns + _ns(max(last.event.duration_s, 0.0))
    return _Life(start_ns=start_ns, end_ns=end_ns, closed_by=last.seq)


def _call_span(
    execution_id: str, envelopes: Sequence[Envelope], last: Envelope | None, life: _Life, status_of: StatusOf
) -> Span:
    received: RequestReceived = envelopes[0].event
    closing = last.event if last is not None else None
    status = status_of(closing.error, received.target) if isinstance(closing, RequestFailed) else 200
    error = UNSETTLED if closing is None else ""
    if isinstance(closing, RequestFailed) and status >= ERRORS_FROM:
        error = closing.error
    attributes = call_attributes(execution_id, envelopes, closing, status)
    return Span(
        name=" ".join(filter(None, (received.method, received.target))) or received.operation,
        kind=SERVER if received.door in (*WEB_DOORS, "mcp") else INTERNAL,
        trace_id=trace_id_of(execution_id, received.trace_id),
        span_id=span_id_of(execution_id),
        parent_id=received.parent_span_id if _SPAN_ID.fullmatch(received.parent_span_id) else "",
        is_parent_remote=True,
        start_ns=life.start_ns,
        end_ns=life.end_ns,
        error=error,
        attributes=_with_error(attributes, error),
        moments=_moments(envelopes, life),
        links=_links(envelopes),
        closed_by=life.closed_by,
    )


def _refresh_span(execution_id: str, envelopes: Sequence[Envelope], life: _Life) -> Span:
    """The span of an execution that warming began; it is the root of a trace of its own."""
    error = UNSETTLED if not life.closed_by else "" if has_refreshed(envelopes) else SearchFailed.code
    return Span(
        name="refresh search",
        kind=INTERNAL,
        trace_id=trace_id_of(execution_id),
        span_id=span_id_of(execution_id),
        start_ns=life.start_ns,
        end_ns=life.end_ns,
        error=error,
        attributes=_with_error(refresh_attributes(execution_id, envelopes, error), error),
        moments=_moments(envelopes, life),
        links=_links(envelopes),
        closed_by=life.closed_by,
    )


def _attempt_spans(
    call: Span, envelopes: Sequence[Envelope], life: _Life, *, is_over: bool
) -> tuple[Span, ...]:
    begun: dict[tuple[str, int], Envelope] = {}
    ended: dict[tuple[str, int], Envelope] = {}
    for envelope in envelopes:
        match envelope.event:
            case AttemptStarted() as started:
                begun[started.provider, started.number] = envelope
            case AttemptSucceeded() | AttemptFailed() as outcome:
                ended[outcome.provider, outcome.number] = envelope
            case _:
                pass
    return tuple(
        _attempt_span(call, start, ended.get(key), life)
        for key, start in begun.items()
        if (is_over or key in ended) and _SPAN_ID.fullmatch(start.event.span_id)
    )


def _attempt_span(call: Span, start: Envelope, end: Envelope | None, life: _Life) -> Span:
    started: AttemptStarted = start.event
    outcome: AttemptEvent | None = None if end is None else end.event
    outlives = end is None or (0 < life.closed_by < end.seq)
    start_ns, end_ns = _attempt_life(start, end, None if outlives else life)
    error = outcome.reason or outcome.outcome if isinstance(outcome, AttemptFailed) else ""
    error = UNSETTLED if outcome is None else error
    attributes = attempt_attributes(started, outcome)
    if outlives and life.closed_by:
        attributes["amos.outlived_call"] = True
    return Span(
        name=f"retrieval {started.provider}",
        kind=CLIENT,
        trace_id=call.trace_id,
        span_id=started.span_id,
        parent_id=call.span_id,
        start_ns=start_ns,
        end_ns=end_ns,
        error=error,
        attributes=_with_error(attributes, error),
        closed_by=0 if end is None else end.seq,
    )


def _attempt_life(start: Envelope, end: Envelope | None, within: _Life | None) -> tuple[int, int]:
    """Start and end of an attempt: it ended when its outcome was noted, and lasted as long as that says.

    Before it lies the writing of its intent, which is not part of it.
    """
    intended_ns = _ns(start.at)
    if end is None:
        return intended_ns, intended_ns
    lasted_ns = _ns(max(end.event.duration_s, 0.0))
    start_ns = max(_ns(end.at) - lasted_ns, intended_ns)
    if within is None:
        return start_ns, start_ns + lasted_ns
    start_ns = max(min(start_ns, within.end_ns - lasted_ns), within.start_ns)
    return start_ns, min(start_ns + lasted_ns, within.end_ns)  # rounding may have made it a nanosecond longer


def _moments(envelopes: Sequence[Envelope], life: _Life) -> tuple[Moment, ...]:
    """At most `MOMENTS_MAX`; one that a jump of the clock has put outside the call is moved to its edge."""
    return tuple(
        Moment(name, min(max(_ns(envelope.at), life.start_ns), life.end_ns), attributes)
        for envelope in envelopes
        for name, attributes in moment_of(envelope.event)
    )[:MOMENTS_MAX]


def _links(envelopes: Sequence[Envelope]) -> tuple[Link, ...]:
    """The calls whose answers this one has waited for; an extract may have waited for several."""
    links: dict[str, Link] = {}
    for envelope in envelopes:
        joined: Any = envelope.event
        if isinstance(joined, FlightJoined) and is_execution(joined.leader):
            links[joined.leader] = Link(
                trace_id_of(joined.leader, joined.leader_trace_id),
                span_id_of(joined.leader),
                {"amos.link": "leader"},
            )
    return tuple(links.values())[:MOMENTS_MAX]


def _with_error(attributes: Attributes, error: str) -> Attributes:
    return {**attributes, "error.type": error} if error else attributes


def _ns(seconds: float) -> int:
    """Raises ValueError for what no clock shows: one such span would spoil all that go out with it."""
    if not 0.0 <= seconds < SECONDS_MAX:
        raise ValueError("a moment or a duration that cannot be")
    return round(seconds * 1_000_000_000)
