"""What may be spent, by whom and in which period: accounts, their limits, and how a cost is put on them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from orchestrator.budget_ports import Charge
from orchestrator.events import MILLION, Cost
from orchestrator.quota import Window

ALL = "all"
"""The name of the account of the whole installation."""

CLIENT = "client:"
"""Begins the name of a client's account."""

PROVIDER = "provider:"
"""Begins the name of a provider's account, which counts in the provider's own unit."""


class BudgetPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What may be spent in a UTC day or month; `None`, or a provider that is not named, is not limited.

    A call passes if on every account `spent + estimate <= limit`, where `spent` includes what calls under way
    have reserved. The first four limits are millionths of a US dollar: of the whole installation, and of each
    client by itself. `units_per_day` and `units_per_month` limit a provider in its own unit, whose name is in
    `units`: credits (Tavily: 1 a search, 2 an advanced one), tokens (Jina: 10,000 a search). The source of
    all is the operator; there is no default, because a plan's size is known to nobody else.
    `calls_per_minute` is how often a provider is called in any 60 seconds; Tavily's documentation allows 100
    for development keys and 1,000 for production keys, Jina's 100 searches. A call that is early by at most
    `wait_s` seconds waits (chosen: less than the next provider would take).
    """

    usd_micros_per_day: int | None = None
    usd_micros_per_month: int | None = None
    client_usd_micros_per_day: int | None = None
    client_usd_micros_per_month: int | None = None
    units_per_day: Mapping[str, float] = {}
    units_per_month: Mapping[str, float] = {}
    units: Mapping[str, str] = {}
    calls_per_minute: Mapping[str, int] = {}
    wait_s: float = 1.0

    def accounts(self, provider: str) -> tuple[Account, ...]:
        """The accounts of a call to the provider; the name of a client's is `CLIENT` alone."""
        return (*self.of_all, *self.of_clients, *self._of_provider(provider))

    @property
    def of_all(self) -> tuple[Account, ...]:
        """The accounts of the whole installation."""
        return _accounts(ALL, self.usd_micros_per_day, self.usd_micros_per_month)

    @property
    def of_clients(self) -> tuple[Account, ...]:
        """The accounts that every client has."""
        return _accounts(CLIENT, self.client_usd_micros_per_day, self.client_usd_micros_per_month)

    @property
    def of_providers(self) -> tuple[Account, ...]:
        """The accounts of all providers that have any."""
        names = dict.fromkeys((*self.units_per_day, *self.units_per_month))
        return tuple(account for name in names for account in self._of_provider(name))

    def window(self, provider: str) -> Window | None:
        """The calls per minute as a window of the limiter, `None` if they are not limited."""
        calls = self.calls_per_minute.get(provider)
        return None if calls is None else Window("minute", calls, 60.0)

    def _of_provider(self, provider: str) -> tuple[Account, ...]:
        day, month = self.units_per_day.get(provider), self.units_per_month.get(provider)
        unit = self.units.get(provider, "units")
        return _accounts(PROVIDER + provider, _millionths(day), _millionths(month), unit)


def _millionths(units: float | None) -> int | None:
    return None if units is None else round(units * MILLION)


def _accounts(
    name: str, per_day: int | None, per_month: int | None, unit: str = "USD"
) -> tuple[Account, ...]:
    limits = (("day", per_day), ("month", per_month))
    return tuple(Account(name, per, limit, unit) for per, limit in limits if limit is not None)


class Account(msgspec.Struct, frozen=True):
    """A limit, in millionths of `unit`, on what is spent per `day` or `month` (UTC)."""

    name: str
    per: str
    limit: int
    unit: str = "USD"

    @property
    def is_of_provider(self) -> bool:
        """Whether it counts in a provider's own unit."""
        return self.name.startswith(PROVIDER)

    def charge(self, client: str, cost: Cost, now: float) -> Charge:
        """The cost on this account at a moment of epoch seconds."""
        return self.sum_of(client, self.measure(cost), now)

    def sum_of(self, client: str, amount: int, now: float) -> Charge:
        """An amount in millionths on this account at a moment of epoch seconds."""
        begin = datetime.fromtimestamp(self.begins_at(now), UTC)
        if self.per == "day":
            period, end = f"{begin:%Y-%m-%d}", begin + timedelta(days=1)
        else:
            period, end = f"{begin:%Y-%m}", (begin + timedelta(days=32)).replace(day=1)
        return Charge(
            account=self.name + client if self.name == CLIENT else self.name,
            period=period,
            ends_at=end.timestamp(),
            limit=self.limit,
            amount=amount,
        )

    def begins_at(self, now: float) -> float:
        """The beginning of the period that a moment lies in; both in epoch seconds."""
        # Whole seconds: a date has microseconds and would round the last half of one into the next day.
        today = datetime.fromtimestamp(math.floor(now), UTC).replace(hour=0, minute=0, second=0)
        return (today if self.per == "day" else today.replace(day=1)).timestamp()

    def measure(self, cost: Cost) -> int:
        """The cost in millionths of the account's unit."""
        return round(cost.amount * MILLION) if self.is_of_provider else cost.usd_micros


def usd(millionths: int) -> str:
    """Millionths of a US dollar as dollars, none of them rounded away: `10.00`, `0.017`."""
    whole, cents = f"{millionths / MILLION:,.6f}".split(".")
    return f"{whole}.{cents.rstrip('0'):0<2}"


def corrections(
    accounts: Sequence[Account], reserved: Sequence[Charge], client: str, cost: Cost, now: float
) -> tuple[Charge, ...]:
    """What turns the reservation of a call, one charge for each account, into what it cost.

    A call that ends in another day or month than it began gives back there and is charged here, as the
    ledger books it.
    """
    found = []
    for account, charge in zip(accounts, reserved, strict=True):
        due = account.charge(client, cost, now)
        if due.period == charge.period:
            found.append(msgspec.structs.replace(charge, amount=due.amount - charge.amount))
        else:
            found += [msgspec.structs.replace(charge, amount=-charge.amount), due]
    return tuple(correction for correction in found if correction.amount)
