"""The ledger held against the providers' own, call by call: each that arrived has its intent, and its bill.

A simulator says of each call what it has billed. The attempt it belongs to is found by the span id that the
call came with. What the provider could tell us must be recorded to the last token; what it had no chance to
tell, because its answer was cut, came too late, or met nobody, must be assumed, and rather too high.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tests.support.naive_fold import OUTCOMES, Fact, of

SHOWN = 5
"""Of each kind of difference so many are shown; one is enough to fail."""


DIGITS = 6
"""Amounts are compared in millionths, as the ledger keeps them."""


class Bill(NamedTuple):
    """What the record and a provider say about it, in the provider's own unit.

    `billed` = `told` + `untold`: of the second the provider's word never came. `assumed` is what is recorded
    in its place, for these calls and for those that the provider did not bill in the end.
    """

    provider: str
    attempts: int
    calls: int
    billed: float
    told: float
    untold: float
    assumed: float
    differences: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.provider:<8}{self.attempts:>7} attempts {self.calls:>7} calls "
            f"{self.billed:>12,.1f} billed = {self.told:,.1f} recorded as spent + {self.untold:,.1f} untold, "
            f"for which {self.assumed:,.1f} are assumed"
        )


class _Attempt(NamedTuple):
    """One attempt of the record: what is spent for certain, and what is assumed."""

    where: str
    reason: str
    spent: float
    assumed: float


def bill(provider: str, facts: Iterable[Fact], calls: Iterable[Mapping[str, Any]]) -> Bill:
    """The record of one provider beside the calls that reached it (as `UpstreamProcess.calls` has them)."""
    attempts = _attempts(provider, facts)
    billed: dict[str, float] = {}
    met: dict[str, list[str]] = {}
    unknown = []
    count = 0
    for call in calls:
        span = _span(call)
        if span in attempts:
            count += 1
            billed[span] = round(billed.get(span, 0.0) + call["billed"], DIGITS)
            met.setdefault(span, []).append(f"{call['path']} {call.get('fault', '')} {call['billed']:g}")
        elif call["billed"] or call["method"] != "GET":
            unknown.append(f"{provider}: a call of {call['billed']:g} has no intent: {call['path']} {span}")
    wrong = [
        f"{provider}: {attempt.where} ({attempt.reason or 'answered'}) was billed {billed.get(span, 0.0):g}, "
        f"recorded are {attempt.spent:g} spent and {attempt.assumed:g} assumed; {met.get(span, 'no call')}"
        for span, attempt in attempts.items()
        if not _is_right(attempt, billed.get(span, 0.0))
    ]
    untold = [span for span, attempt in attempts.items() if attempt.assumed]
    return Bill(
        provider=provider,
        attempts=len(attempts),
        calls=count,
        billed=_sum(billed.values()),
        told=_sum(attempt.spent for attempt in attempts.values()),
        untold=_sum(billed.get(span, 0.0) - attempts[span].spent for span in untold),
        assumed=_sum(attempts[span].assumed for span in untold),
        differences=(*unknown[:SHOWN], *wrong[:SHOWN]),
    )


def _is_right(attempt: _Attempt, billed: float) -> bool:
    if attempt.assumed:
        return attempt.spent <= billed <= attempt.spent + attempt.assumed
    return attempt.spent == billed


def _attempts(provider: str, facts: Iterable[Fact]) -> dict[str, _Attempt]:
    """Every attempt by the span id that its calls carry."""
    own = [fact for fact in facts if fact.get("provider") == provider]
    ends = {(fact["stream"], fact["number"]): fact for fact in of(own, *OUTCOMES)}
    found = {}
    for intent in of(own, "attempt.started"):
        end = ends.get((intent["stream"], intent["number"]))
        where = f"{intent['stream']} attempt {intent['number']}"
        if end is None:
            found[intent["span_id"]] = _Attempt(where, "no outcome", 0.0, _amount(intent, "estimate"))
        else:
            spent, assumed = _amount(end, "cost"), _amount(end, "assumed")
            found[intent["span_id"]] = _Attempt(where, end.get("reason", ""), spent, assumed)
    return found


def _sum(amounts: Iterable[float]) -> float:
    return round(sum(amounts), DIGITS)


def _amount(fact: Fact, field: str) -> float:
    return round(float(fact.get(field, {}).get("amount", 0.0)), DIGITS)


def _span(call: Mapping[str, Any]) -> str:
    """The span id with which a call came, `""` without one."""
    parts = call["headers"].get("traceparent", "").split("-")
    return parts[2] if len(parts) == 4 else ""
