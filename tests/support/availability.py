"""How many of the calls were useful, counted twice: from what callers saw, and from the event log alone.

A useful answer has results of the web, came while its caller was still reading, and, if it is stale, says so,
says its age, and is no older than the policy allows. Answers of the local floor are none.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from api.rest.problems import status_of
from tests.support.database import query
from tests.support.fault_player import Played
from tests.support.naive_fold import Fact, facts_of, of, streams
from tests.support.steady_load import PATIENCE_S, Asked

USEFUL = ("fetched", "cached", "stale")
"""Outcomes that help, in the order of their columns."""

AGE_SLACK_S = 1.0
"""`Age` is in whole seconds, and a busy machine takes a moment between the look and the answer."""


class Ended(NamedTuple):
    """One execution as the log has it; `outcome` is the same word as `Asked.outcome`.

    `has_asked` says whether a provider was asked in it, or in the flight that it joined; `begun_at` is epoch
    seconds.
    """

    outcome: str
    duration_s: float
    tries: tuple[str, ...] = ()
    has_asked: bool = False
    begun_at: float = 0.0

    @property
    def is_useful(self) -> bool:
        """Whether the log says that this was an answer that helps."""
        return self.outcome in USEFUL and self.duration_s <= PATIENCE_S


def executions(facts: Iterable[Fact]) -> dict[str, Ended]:
    """Every execution that began with a call."""
    return {stream: _ended(own) for stream, own in streams(facts).items()}


def facts(database: Path | str) -> list[Fact]:
    """Every fact of the log, in the order of positions."""
    rows = query(database, "SELECT * FROM frames ORDER BY position")
    return facts_of({**row, "events": json.loads(row["events"])} for row in rows)


def open_since(facts: Iterable[Fact]) -> float:
    """The moment in epoch seconds when the last provider's circuit opened for the first time."""
    first: dict[str, float] = {}
    for fact in of(facts, "circuit.opened"):
        first.setdefault(fact["provider"], fact["at"])
    return max(first.values(), default=0.0)


def is_useful(asked: Asked, stale_age_s_max: float) -> bool:
    """Whether the caller has an answer that helps; `stale_age_s_max` is the oldest that the policy allows."""
    if asked.outcome not in USEFUL or asked.duration_s > PATIENCE_S:
        return False
    says_its_age = asked.age_header.isdecimal() and abs(int(asked.age_header) - asked.age_s) <= 1.0
    return not asked.is_stale or (says_its_age and 0 < asked.age_s <= stale_age_s_max + AGE_SLACK_S)


def differences(asked: Iterable[Asked], ends: Mapping[str, Ended]) -> list[str]:
    """Where callers and log do not say the same, as sentences, call by call; none if they agree."""
    seen = {one.execution_id: one for one in asked if one.execution_id}
    found = [
        f"{key}: the caller saw {one.outcome}, the log has {ends[key].outcome}"
        for key, one in seen.items()
        if key in ends and ends[key].outcome != one.outcome
    ]
    found += [
        f"{key}: answered with {one.outcome}, not in the log" for key, one in seen.items() if key not in ends
    ]
    unseen = [key for key in ends if key not in seen]
    gone = sum(not one.execution_id for one in asked)
    if len(unseen) > gone:
        found.append(f"{len(unseen)} executions were not answered to anybody, and {gone} calls had no answer")
    return found


def explained(asked: Iterable[Asked], ends: Mapping[str, Ended]) -> list[str]:
    """What was down, what callers were told, and everything that was tried: a line for all that share it.

    Each line ends with the last of these executions, to be looked at with `amos events show`.
    """
    nothing = Ended("not recorded", 0.0)
    alike: Counter[str] = Counter()
    last: dict[str, str] = {}
    for one in asked:
        tries = ", ".join(ends.get(one.execution_id, nothing).tries) or "nothing was tried"
        told = one.error if one.status != 503 else ""
        line = (
            f"[{one.trouble}] {'new' if one.is_new else 'repeated'}: {one.outcome} {told}".rstrip()
            + f": {tries}"
        )
        alike[line] += 1
        last[line] = f"{one.execution_id} after {one.duration_s:.2f} s"
    return [f"{count:>5} x {line} ({last[line]})" for line, count in alike.most_common()]


def table(asked: Sequence[Asked], useful: Sequence[Asked]) -> list[str]:
    """The calls by what was down when they began, and all of them."""
    lines = [
        (
            f"{'':<14}{'calls':>7}{'useful':>8}{'fetched':>9}{'cached':>8}{'stale':>7}{'other':>7}"
            f"{'ratio':>10}{'p50':>9}{'p99':>9}{'max':>9}"
        )
    ]
    helped = {id(one) for one in useful}
    phases = sorted({one.phase for one in asked})
    for name in (*phases, "all"):
        calls = [one for one in asked if name in (one.phase, "all")]
        outcomes = Counter(one.outcome for one in calls)
        good = sum(id(one) in helped for one in calls)
        durations = sorted(one.duration_s for one in calls)
        lines.append(
            f"{name:<14}{len(calls):>7}{good:>8}"
            f"{outcomes['fetched']:>9}{outcomes['cached']:>8}{outcomes['stale']:>7}{len(calls) - good:>7}"
            f"{good / len(calls):>10.3%}"
            f"{_ms(_quantile(durations, 0.5)):>9}{_ms(_quantile(durations, 0.99)):>9}{_ms(durations[-1]):>9}"
        )
    return lines


def calls_while_down(played: Iterable[Played], calls: Mapping[str, Iterable[Mapping[str, Any]]]) -> list[str]:
    """For each kind of outage: how often, how long, how many calls arrived in it."""
    rows: dict[tuple[str, str], list[float]] = {}
    for outage, begun_at, ended_at in played:
        row = rows.setdefault((outage.target, outage.kind), [0, 0.0, 0])
        row[0] += 1
        row[1] += ended_at - begun_at
        row[2] += sum(begun_at <= call["at"] <= ended_at for call in calls[outage.target])
    lines = [f"{'':<10}{'':<32}{'outages':>8}{'seconds':>9}{'calls in them':>15}"]
    for (target, kind), (count, seconds, arrived) in sorted(rows.items(), reverse=True):
        lines.append(f"{target:<10}{kind:<32}{count:>8}{seconds:>9.1f}{arrived:>15}")
    return lines


def _ended(own: Sequence[Fact]) -> Ended:
    tries = tuple(_tries(own))
    more = bool(of(own, "attempt.started", "flight.joined")), own[0]["at"]
    end = next(iter(of(own, "request.completed", "request.failed")), None)
    if end is None:
        return Ended("unended", 0.0, tries, *more)
    if end["kind"] == "request.failed":
        return Ended(str(status_of(end["error"])), end["duration_s"], tries, *more)
    if end.get("degraded"):
        outcome = "degraded"
    elif not end["results"]:
        outcome = "empty"
    elif end.get("stale"):
        outcome = "stale"
    else:
        outcome = "cached" if end["cache"] in ("l1", "l2") else "fetched"
    return Ended(outcome, end["duration_s"], tries, *more)


def _tries(own: Iterable[Fact]) -> Iterator[str]:
    """What was tried, in words: attempts, providers passed by, flights joined, stale answers."""
    for fact in own:
        if fact["kind"] == "attempt.succeeded":
            yield f"{fact['provider']} ok"
        elif fact["kind"] == "attempt.failed":
            yield f"{fact['provider']} {fact['reason']}"
        elif fact["kind"] == "provider.skipped":
            yield f"{fact['provider']} skipped: {fact['reason']}"
        elif fact["kind"] == "flight.joined":
            yield "joined a flight"
        elif fact["kind"] == "cache.missed":
            yield f"missed: {fact['reason']}"
        elif fact["kind"] == "cache.stale":
            yield f"stale: {fact['cause']}"


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _ms(seconds: float) -> str:
    return f"{seconds * 1_000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
