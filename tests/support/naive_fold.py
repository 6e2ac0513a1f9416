"""Facts from the rows of `frames`, and what they cost and took, in the simplest way there is.

Nothing of the projections and reports is used here, on purpose: plain dicts from the bare driver and json,
after the definitions in docs/reports.md. naive_check.py holds reports against them. Where that and AMOS
differ one of them is wrong.

    facts = facts_of(server.frames())
    naive_check.check("health", report, facts, Question(by="hour"))

A fact is one event as it is written in JSON, and with it `kind` (its type without prefix and version), `at`,
`stream` and `instance`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

Fact = dict[str, Any]

CALLERS_OWN = (
    *("caller_error", "invalid_request", "unauthenticated", "permission_denied", "rate_limited"),
    *("budget_exhausted", "not_in_cache", "cannot_warm", "not_found", "cancelled"),
    *("not_offered", "url_refused", "task_not_found"),
)
"""Failures that say nothing about the gateway, as docs/reports.md lists them."""

TIMES = ("minute", "hour", "day")


def facts_of(rows: Iterable[dict[str, Any]]) -> list[Fact]:
    """The facts of rows of `frames` whose `events` are decoded, in their order."""
    return [
        {
            **envelope["event"],
            "kind": kind_of(envelope["event"]["type"]),
            "at": envelope["at"],
            "stream": row["stream"],
            "instance": row["instance"],
        }
        for row in rows
        for envelope in row["events"]
    ]


def kind_of(type_name: str) -> str:
    """The type of an event without prefix and version."""
    return type_name.removeprefix("amos.").rpartition(".")[0]


def of(facts: Iterable[Fact], *kinds: str) -> list[Fact]:
    """The facts of these kinds."""
    return [fact for fact in facts if fact["kind"] in kinds]


def streams(facts: Iterable[Fact]) -> dict[str, list[Fact]]:
    """The facts of each execution by its id, in their order."""
    found: dict[str, list[Fact]] = {}
    for fact in facts:
        found.setdefault(fact["stream"], []).append(fact)
    return {stream: own for stream, own in found.items() if own[0]["kind"] == "request.received"}


def refreshes(facts: Iterable[Fact]) -> dict[str, list[Fact]]:
    """The facts of each execution that warming began, by its id, in their order."""
    found: dict[str, list[Fact]] = {}
    for fact in facts:
        found.setdefault(fact["stream"], []).append(fact)
    return {stream: own for stream, own in found.items() if own[0].get("cause") == "warming"}


def micros(fact: Fact, field: str) -> int:
    """The money in a cost field; what is free is not written at all."""
    return int(fact.get(field, {}).get("usd_micros", 0))


def share(part: int, whole: int) -> float | None:
    """A ratio; `None` of nothing."""
    return part / whole if whole else None


class Question(NamedTuple):
    """What is asked: a window of epoch seconds, how to group, and the zone whose days and hours these are."""

    by: str = ""
    since: float = 0.0
    until: float = math.inf
    zone: str = "UTC"

    def within(self, facts: Iterable[Fact]) -> list[Fact]:
        """What happened in the window."""
        return [fact for fact in facts if self.since <= fact["at"] < self.until]

    def value_of(self, fact: Fact) -> Any:
        """What a fact is grouped under: the beginning of a stretch of time, or a field that may be absent."""
        if self.by not in TIMES:
            return fact.get(self.by, "")
        local = datetime.fromtimestamp(math.floor(fact["at"]), ZoneInfo(self.zone))
        since_midnight = {"hour": 0} if self.by == "day" else {}
        since_hour = {"minute": 0} if self.by != "minute" else {}
        return int(local.replace(second=0, **since_hour, **since_midnight).timestamp())

    def groups(self, facts: Iterable[Fact]) -> dict[Any, list[Fact]]:
        """The facts by what they are grouped under, in its order; no groups without `by`."""
        groups: dict[Any, list[Fact]] = {}
        if self.by:
            for fact in facts:
                groups.setdefault(self.value_of(fact), []).append(fact)
        return dict(sorted(groups.items()))


EVERYTHING = Question()


# --- money --------------------------------------------------------------------------------------------------

OUTCOMES = ("attempt.succeeded", "attempt.failed")


def bill_lines(facts: Sequence[Fact]) -> list[Fact]:
    """One line for each amount: `what` it is (`spent`, `assumed`, `saved` or `calls`, which has none).

    An intent is settled by the outcome of the same attempt; one without is assumed, when it was recorded.
    """
    lines = []
    settled = {_attempt(fact) for fact in of(facts, *OUTCOMES)}
    for fact in facts:
        if fact["kind"] in OUTCOMES:
            lines.append({**fact, "what": "calls"})
            lines += [{**fact, "what": "spent", "bill": fact["cost"]}] if "cost" in fact else []
            lines += [{**fact, "what": "assumed", "bill": fact["assumed"]}] if "assumed" in fact else []
        elif fact["kind"] == "attempt.started" and "estimate" in fact and _attempt(fact) not in settled:
            lines.append({**fact, "what": "assumed", "bill": fact["estimate"]})
        elif fact["kind"] == "request.completed" and "saved" in fact:
            lines.append({**fact, "what": "saved", "bill": fact["saved"]})
    return lines


def _attempt(fact: Fact) -> tuple[str, str, int]:
    return fact["stream"], fact["provider"], fact["number"]


# --- time ---------------------------------------------------------------------------------------------------


def durations(facts: Iterable[Fact]) -> list[Fact]:
    """Every duration `s` of every `stage`, with the fact it is of, as docs/reports.md defines them."""
    timed = []
    for fact in facts:
        stages: dict[str, float] = {}
        if fact["kind"] == "request.completed":
            stay_s, upstream_s = fact["duration_s"], fact.get("upstream_s", 0.0)
            fresh = "stale" if fact.get("stale") else "hit"
            stage = fresh if fact["cache"] in ("l1", "l2") else fact["cache"]
            if stage in ("hit", "stale", "collapsed", "relayed"):
                stages = {stage: stay_s}
            else:
                stages = {"miss": stay_s, "upstream": upstream_s, "added": max(stay_s - upstream_s, 0.0)}
        elif fact["kind"] == "request.failed":
            stages = {"failed": fact["duration_s"]}
        elif fact["kind"] in OUTCOMES:
            stages = {"attempt": fact["duration_s"]}
        timed += [{**fact, "stage": stage, "s": s} for stage, s in stages.items()]
    return timed
