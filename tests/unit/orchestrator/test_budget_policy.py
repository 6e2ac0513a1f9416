"""Accounts: whose they are, in which period a moment lies, and what turns a reservation into a cost."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.budget_policy import Account, BudgetPolicy, corrections, usd
from orchestrator.events import FREE, Cost

MOMENTS = st.floats(0.0, 4_102_444_800.0)
"""From 1970 to 2100."""

COSTS = st.builds(
    Cost,
    amount=st.floats(0.0, 1e6).map(lambda amount: round(amount, 6)),
    unit=st.just("credits"),
    usd_micros=st.integers(0, 10**12),
)

PER = st.sampled_from(["day", "month"])


@example(now=2051222399.9999995, per="day")
@given(now=MOMENTS, per=PER)
@example(now=2_051_222_399.9999995, per="day")
def test_every_moment_lies_in_one_period(now, per):
    """It begins before the moment, ends after it, and the next one begins where it ends."""
    account = Account("all", per, 1)
    charge = account.sum_of("", 0, now)

    assert account.begins_at(now) <= now < charge.ends_at
    assert account.begins_at(charge.ends_at) == charge.ends_at
    assert account.sum_of("", 0, charge.ends_at).period > charge.period
    assert account.sum_of("", 0, account.begins_at(now)).period == charge.period


@pytest.mark.parametrize(
    ("moment", "day", "month", "month_ends"),
    [
        ((2024, 2, 29, 23, 59, 59), "2024-02-29", "2024-02", (2024, 3, 1)),
        ((2026, 12, 31, 12), "2026-12-31", "2026-12", (2027, 1, 1)),
        ((2026, 10, 25, 1, 30), "2026-10-25", "2026-10", (2026, 11, 1)),
    ],
)
def test_leap_days_years_and_summer_time(moment, day, month, month_ends):
    """Periods are those of UTC, whatever clocks on walls do."""
    now = datetime(*moment, tzinfo=UTC).timestamp()

    assert Account("all", "day", 1).sum_of("", 0, now).period == day
    charge = Account("all", "month", 1).sum_of("", 0, now)
    assert charge.period == month
    assert charge.ends_at == datetime(*month_ends, tzinfo=UTC).timestamp()


@given(began=MOMENTS, ended=MOMENTS, estimate=COSTS, cost=COSTS)
def test_what_is_reserved_and_corrected_is_what_it_cost(began, ended, estimate, cost):
    """Summed up by period only the cost remains, in the period of its end, however the clock went."""
    policy = BudgetPolicy(
        usd_micros_per_day=1, usd_micros_per_month=1, client_usd_micros_per_day=1, units_per_month={"t": 1}
    )
    accounts = policy.accounts("t")
    reserved = tuple(account.charge("ann", estimate, began) for account in accounts)
    sums: dict[tuple[str, str], int] = {}

    for charge in (*reserved, *corrections(accounts, reserved, "ann", cost, ended)):
        key = charge.account, charge.period
        sums[key] = sums.get(key, 0) + charge.amount

    due = [account.charge("ann", cost, ended) for account in accounts]
    expected = {(one.account, one.period): one.amount for one in due if one.amount}
    assert {key: amount for key, amount in sums.items() if amount} == expected


def test_nothing_to_correct_is_nothing_to_send():
    """A call that cost what was expected needs no second exchange."""
    cost = Cost(amount=1.0, unit="credits", usd_micros=8_000)
    account = Account("all", "day", 1)
    reserved = (account.charge("", cost, 0.0),)

    assert corrections((account,), reserved, "", cost, 1.0) == ()
    (back,) = corrections((account,), reserved, "", FREE, 1.0)
    assert back.amount == -8_000


def test_whose_accounts_there_are():
    """The installation's, every client's, and a provider's only if it is named."""
    policy = BudgetPolicy(
        usd_micros_per_month=5,
        client_usd_micros_per_day=4,
        units_per_day={"tavily": 3},
        units_per_month={"jina": 2, "tavily": 9},
        units={"tavily": "credits"},
    )

    def names(accounts):
        return [(one.name, one.per, one.limit, one.unit) for one in accounts]

    common = [("all", "month", 5, "USD"), ("client:", "day", 4, "USD")]
    tavily = [
        ("provider:tavily", "day", 3_000_000, "credits"),
        ("provider:tavily", "month", 9_000_000, "credits"),
    ]
    jina = [("provider:jina", "month", 2_000_000, "units")]
    assert names(policy.accounts("local")) == common
    assert names(policy.accounts("tavily")) == common + tavily
    assert names(itertools.chain(policy.of_all, policy.of_clients)) == common
    assert names(policy.of_providers) == tavily + jina


@pytest.mark.parametrize(
    ("millionths", "shown"),
    [(0, "0.00"), (5, "0.000005"), (17_000, "0.017"), (10_500_000, "10.50"), (1_234_000_000, "1,234.00")],
)
def test_no_part_of_a_cent_is_rounded_away(millionths, shown):
    """A search costs less than a cent, so a small budget is told in full."""
    assert usd(millionths) == shown
