"""One log line for an execution, folded from its events: who asked what, what came of it, how long it took.

A line is made of the record and holds only what is named here: no query, no URL, no key, nothing that a
provider said. Its fields are those of the Elastic Common Schema where that has one, else they are named as in
traces and stand under `amos`. Whatever is not printable in a name is made visible.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import msgspec

from orchestrator.events import (
    FREE,
    AttemptFailed,
    AttemptStarted,
    CallerAuthenticated,
    Cost,
    Envelope,
    RequestCompleted,
    RequestFailed,
    RequestReceived,
    StaleServed,
)
from orchestrator.history import (
    CALLERS_OWN,
    HITS,
    WARMING,
    assumed,
    has_no_caller,
    has_refreshed,
    spent,
    unsettled,
)
from orchestrator.projections.sentences import seconds
from orchestrator.projections.span_attributes import WEB_DOORS
from orchestrator.projections.spans import StatusOf
from orchestrator.trace_context import span_id_of, trace_id_of

EXECUTIONS = "amos.execution"
"""The name under which the lines of executions are logged."""

INFO, WARNING, ERROR = "info", "warning", "error"
"""Levels: as meant, or the caller's own doing; something to look at; something to do."""

WORD_CHARS_MAX = 100
"""chosen: of one name in a line; ours and those of clients have 64 at most."""

FAILURES_MAX = 8
"""chosen: failed attempts named in a line; a call makes two or three."""

_REVALIDATING = "revalidating"  # an old answer that is given on purpose


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A log line: what happened `at` (seconds since 1970), how bad it is, told by the writer `node`.

    `fields` are nested by name, `{"event": {"outcome": "success"}}`.
    """

    at: float
    level: str
    logger: str
    node: str
    message: str
    fields: dict[str, Any]


@functools.lru_cache(maxsize=4_096)
def word(text: str) -> str:
    """A name as it may stand in a line: what is not printable is made visible, what is too long is cut."""
    text = text[:WORD_CHARS_MAX]
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")[:WORD_CHARS_MAX]


class _Story:
    """What the events of one execution say, as far as the line tells it."""

    __slots__ = ("attempts", "failures", "known", "last", "last_at", "received", "stale")

    def __init__(self, envelopes: Sequence[Envelope]) -> None:
        self.received: RequestReceived | None = None
        self.known: CallerAuthenticated | None = None
        self.last: RequestCompleted | RequestFailed | None = None
        self.last_at = envelopes[-1].at
        self.attempts = 0
        self.failures: list[str] = []
        self.stale = ""
        for envelope in envelopes:
            event, kind = envelope.event, type(envelope.event)
            if kind is RequestReceived:
                self.received = event
            elif kind is CallerAuthenticated:
                self.known = event
            elif kind is RequestCompleted or kind is RequestFailed:
                self.last, self.last_at = event, envelope.at
            elif kind is AttemptStarted:
                self.attempts += 1
            elif kind is AttemptFailed:
                self.failures.append(f"{word(event.provider)}: {word(event.reason or event.outcome)}")
            elif kind is StaleServed:
                self.stale = event.cause
        del self.failures[FAILURES_MAX:]


def execution_line(
    execution_id: str, node: str, envelopes: Sequence[Envelope], status_of: StatusOf, *, is_over: bool = False
) -> Line | None:
    """The line of an execution by all that is known of it; `None` before its last word.

    `is_over` says that no last word will come: its process died. `status_of` is the door's, as for spans.
    """
    if has_no_caller(envelopes):
        return _warming_line(execution_id, node, envelopes, is_over=is_over)
    story = _Story(envelopes)
    last, received = story.last, story.received
    if last is None and not is_over:
        return None
    if last is None and received is None:
        return None
    whose = last or received
    assert whose is not None
    level, outcome = _judged(last, story)
    event: dict[str, Any] = {
        "kind": "event",
        "category": ["web"],
        "type": ["error" if level == ERROR else "access"],
        "dataset": EXECUTIONS,
        "id": execution_id,
        "action": word(whose.operation),
        "outcome": outcome,
    }
    if last is not None:
        event["duration"] = round(max(last.duration_s, 0.0) * 1e9)
    client = last.client if last is not None else story.known.client if story.known else ""
    fields: dict[str, Any] = {"event": event}
    if client:
        fields["user"] = {"name": word(client)}
    if isinstance(last, RequestFailed):
        fields["error"] = {"code": word(last.error)}
    if received is not None:
        fields |= _of_door(execution_id, received, last, status_of)
    fields["amos"] = _ours(whose, story, envelopes)
    who = f"{word(whose.operation)} by {word(client) or 'somebody unknown'} at {word(whose.door)}"
    return Line(
        at=story.last_at,
        level=level,
        logger=EXECUTIONS,
        node=word(node),
        message=f"{who}: {_what(last, story)}",
        fields=fields,
    )


def _judged(last: RequestCompleted | RequestFailed | None, story: _Story) -> tuple[str, str]:
    """Level and outcome (ECS): INFO for what is as meant or the caller's doing, ERROR for our failures."""
    match last:
        case RequestCompleted() as done:
            is_odd = done.degraded or done.fallback or (done.stale and story.stale != _REVALIDATING)
            return (WARNING if is_odd else INFO), "success"
        case RequestFailed() as failed:
            return (INFO if failed.error in CALLERS_OWN else ERROR), "failure"
        case _:
            return WARNING, "unknown"


def _of_door(
    execution_id: str,
    received: RequestReceived,
    last: RequestCompleted | RequestFailed | None,
    status_of: StatusOf,
) -> dict[str, Any]:
    """The ids of its trace and, for a call of the web, method and status."""
    fields: dict[str, Any] = {
        "trace": {"id": trace_id_of(execution_id, received.trace_id)},
        "span": {"id": span_id_of(execution_id)},
    }
    if received.door in WEB_DOORS:
        http: dict[str, Any] = {"request": {"method": word(received.method)}} if received.method else {}
        if last is not None:
            status = status_of(last.error, received.target) if isinstance(last, RequestFailed) else 200
            http["response"] = {"status_code": status}
        if http:
            fields["http"] = http
    return fields


def _ours(
    whose: RequestReceived | RequestCompleted | RequestFailed, story: _Story, envelopes: Sequence[Envelope]
) -> dict[str, Any]:
    """What ECS has no field for, under the names it has in traces."""
    ours: dict[str, Any] = {"door": word(whose.door)}
    if whose.topic:
        ours["topic"] = word(whose.topic)
    if story.received is not None and story.received.dialect:
        ours["dialect"] = word(story.received.dialect)
    if story.attempts:
        ours["attempts"] = story.attempts
        ours |= _costs(envelopes)
    if story.failures:
        ours["failures"] = story.failures
    if isinstance(story.last, RequestCompleted):
        ours |= _of_answer(story.last, story.stale)
    return ours


def _of_answer(done: RequestCompleted, stale: str) -> dict[str, Any]:
    ours: dict[str, Any] = {"cache": word(done.cache), "results": done.results}
    if done.provider:
        ours["provider"] = word(done.provider)
    if done.saved != FREE:
        ours["saved"] = _cost(done.saved)
    for name, applies in (("degraded", done.degraded), ("fallback", done.fallback), ("stale", done.stale)):
        if applies:
            ours[name] = True
    if done.stale and stale:
        ours["stale_cause"] = word(stale)
    return ours


def _costs(envelopes: Sequence[Envelope]) -> dict[str, Any]:
    sums = {"cost": spent(envelopes), "assumed": assumed(envelopes)}
    return {name: _cost(cost) for name, cost in sums.items() if cost != FREE}


def _cost(cost: Cost) -> dict[str, Any]:
    return {"usd_micros": cost.usd_micros, "amount": cost.amount, "unit": word(cost.unit)}


def _what(last: RequestCompleted | RequestFailed | None, story: _Story) -> str:
    """What came of it, in a few words."""
    after = f" after failures ({', '.join(story.failures)})" if story.failures else ""
    match last:
        case RequestCompleted() as done:
            results = "1 result" if done.results == 1 else f"{done.results} results"
            return f"{results} from {_source(done, story)} in {seconds(done.duration_s)}{after}"
        case RequestFailed() as failed:
            verb = "refused" if failed.error in CALLERS_OWN else "failed"
            return f"{verb} with {word(failed.error)} in {seconds(failed.duration_s)}{after}"
        case _:
            return f"its end was never recorded{after}"


def _source(done: RequestCompleted, story: _Story) -> str:
    """Where the answer came from, and in brackets what is to be known of it."""
    is_hit = done.cache in HITS
    marks = [] if is_hit else [word(done.cache)]
    marks += ["fallback"] if done.fallback else []
    marks += ["degraded"] if done.degraded else []
    marks += [f"stale: {word(story.stale)}"] if done.stale else []
    source = f"cache {done.cache}" if is_hit else word(done.provider) or "nobody"
    return f"{source} ({', '.join(marks)})" if marks else source


def _warming_line(
    execution_id: str, node: str, envelopes: Sequence[Envelope], *, is_over: bool
) -> Line | None:
    """The line of an execution that warming began: without a last word, over when no attempt is open."""
    is_open = bool(unsettled(envelopes))
    if is_open and not is_over:
        return None
    duration_s = max(envelopes[-1].at - envelopes[0].at, 0.0)
    is_warm = has_refreshed(envelopes)
    level, outcome, what = INFO, "success", f"warm in {seconds(duration_s)}"
    if is_open:
        level, outcome, what = WARNING, "unknown", "its end was never recorded"
    elif not is_warm:
        level, outcome, what = WARNING, "failure", f"not warm after {seconds(duration_s)}"
    attempts = sum(isinstance(envelope.event, AttemptStarted) for envelope in envelopes)
    event = {"kind": "event", "dataset": EXECUTIONS, "id": execution_id, "action": "search"}
    return Line(
        at=envelopes[-1].at,
        level=level,
        logger=EXECUTIONS,
        node=word(node),
        message=f"search by {WARMING}: {what}",
        fields={
            "event": event | {"outcome": outcome, "duration": round(duration_s * 1e9)},
            "trace": {"id": trace_id_of(execution_id)},
            "span": {"id": span_id_of(execution_id)},
            "user": {"name": WARMING},
            "amos": {"door": WARMING, "attempts": attempts, **_costs(envelopes)},
        },
    )
