"""The ledger: what was spent, what may have been, and what the cache has saved.

An intent without an outcome settles as spent, assumed. So an intent adds its estimate to `assumed`, and its
outcome takes that away again, in the very minute of the intent, and adds what it really cost in its own. The
sum over any window is then right at any moment, in whichever order events are counted.
"""

from __future__ import annotations

from orchestrator.events import (
    FREE,
    MILLION,
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    Cost,
    RequestCompleted,
)
from orchestrator.projections.fold import Counts, Increment, Key, Rollup, minute_of


class LedgerRollup(Rollup):
    """Sums money and the providers' own units; `calls` counts attempts that have ended.

    Saved is what cached answers had cost when they were fetched, under the provider that the answer names; of
    an extract these may be several names, joined.
    """

    name = "ledger"
    dimensions = ("provider", "client", "operation", "unit")
    measures = (
        "calls",
        "spent",
        "spent_usd_micros",
        "assumed",
        "assumed_usd_micros",
        "saved",
        "saved_usd_micros",
    )

    def __init__(self) -> None:
        self.adds = {
            AttemptStarted: _intended,
            AttemptSucceeded: _ended,
            AttemptFailed: _ended,
            RequestCompleted: _saved,
        }


def _intended(minute: int, intent: AttemptStarted) -> tuple[Increment, ...]:
    return () if intent.estimate == FREE else (_estimate(minute, intent, 1),)


def _ended(minute: int, ended: AttemptSucceeded | AttemptFailed) -> tuple[Increment, ...]:
    bills = [_bill(minute, ended, ended.cost, FREE)]
    if ended.assumed != FREE:
        key, counts = _bill(minute, ended, FREE, ended.assumed)
        bills.append((key, (0, *counts[1:])))
    return (*bills, *_settled(ended))


def _settled(ended: AttemptSucceeded | AttemptFailed) -> tuple[Increment, ...]:
    if ended.estimate == FREE:
        return ()
    return (_estimate(minute_of(ended.intended_at), ended, -1),)


def _saved(minute: int, done: RequestCompleted) -> tuple[Increment, ...]:
    saved = done.saved
    if saved == FREE:
        return ()
    key = (minute, done.provider, done.client, done.operation, saved.unit)
    return ((key, (0, 0, 0, 0, 0, _millionths(saved), saved.usd_micros)),)


def _bill(
    minute: int, ended: AttemptSucceeded | AttemptFailed, cost: Cost, assumed: Cost
) -> tuple[Key, Counts]:
    key = (minute, ended.provider, ended.client, ended.operation, cost.unit or assumed.unit)
    sums = (_millionths(cost), cost.usd_micros, _millionths(assumed), assumed.usd_micros)
    return key, (1, *sums, 0, 0)


def _estimate(
    minute: int, event: AttemptStarted | AttemptSucceeded | AttemptFailed, sign: int
) -> tuple[Key, Counts]:
    estimate = event.estimate
    key = (minute, event.provider, event.client, event.operation, estimate.unit)
    return key, (0, 0, 0, sign * _millionths(estimate), sign * estimate.usd_micros, 0, 0)


def _millionths(cost: Cost) -> int:
    return round(cost.amount * MILLION)
