"""Cost: what was billed, what may have been, what was saved, and that an intent settles in any order."""

from __future__ import annotations

import itertools

import pytest

from orchestrator.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    Cost,
    Envelope,
)
from orchestrator.projections.ledger import LedgerRollup
from orchestrator.reports.cost import CostReport
from tests.support.histories import CREDIT, NOON, hit, miss, numbered, refused, whose
from tests.support.reported import report_of

INTENT = AttemptStarted(provider="tavily", number=1, span_id="a" * 16, estimate=CREDIT, **whose())
FAILED = {"provider": "tavily", "number": 1, "duration_s": 0.5, "outcome": "final"}


def report(*events, by=""):
    """The cost of these events."""
    return report_of(CostReport(), numbered(events), by)


def test_money_saved_and_spent_are_told_apart():
    """A hit saves what the answer had cost, a miss spends it, and nothing is left assumed."""
    found = report(*hit(), *hit(), *miss())

    money = (found["saved_usd_micros"], found["spent_usd_micros"], found["assumed_usd_micros"])
    assert money == (16_000, 8_000, 0)
    assert found["units"] == [
        {"provider": "tavily", "unit": "credits", "spent": 1.0, "assumed": 0.0, "saved": 2.0}
    ]


def test_what_failed_attempts_cost_is_in_the_bill():
    """Money is counted by attempts, whatever became of the call; what is only assumed is shown apart."""
    rejected = AttemptFailed(**FAILED, reason="unusable", cost=CREDIT)
    silent = AttemptFailed(**FAILED, reason="timeout", assumed=CREDIT)

    found = report(rejected, silent, refused("cancelled"))

    assert (found["calls"], found["spent_usd_micros"], found["assumed_usd_micros"]) == (2, 8_000, 8_000)


def test_an_intent_without_an_outcome_is_assumed_spent():
    """If the process died in the call its estimate counts."""
    found = report(INTENT, by="client")

    assert (found["calls"], found["assumed_usd_micros"]) == (0, 8_000)
    assert found["rows"][0]["client"] == "local-operator"


@pytest.mark.parametrize("cheaper", [CREDIT, Cost(amount=0.5, unit="credits", usd_micros=4_000), Cost()])
def test_an_outcome_settles_its_intent_in_any_order(cheaper):
    """Two minutes later and counted first: the intent's minute owes nothing, the outcome's has the bill."""
    outcome = AttemptSucceeded(
        provider="tavily",
        number=1,
        duration_s=120.0,
        results=3,
        cost=cheaper,
        estimate=CREDIT,
        intended_at=NOON,
        **whose(),
    )
    history = (Envelope(1, NOON, INTENT), Envelope(2, NOON + 120, outcome))

    for order in itertools.permutations(history):
        counts = LedgerRollup().total(order)
        of_intent = [value for key, value in counts.items() if key[0] == NOON]
        assert [sum(column) for column in zip(*of_intent, strict=True)] == [0] * 7
        assert report_of(CostReport(), order)["spent_usd_micros"] == cheaper.usd_micros
