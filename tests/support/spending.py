"""A budget on parts in memory: a clock, a store, the facts it tells, and providers that bill."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from orchestrator.budget_policy import BudgetPolicy
from orchestrator.budget_ports import Balance, BudgetStore, Charge
from orchestrator.cashier import Cashier
from orchestrator.errors import BudgetStoreUnavailable, RateLimitStoreUnavailable
from orchestrator.events import Cost
from orchestrator.filters.attempt import AttemptFilter
from orchestrator.filters.budget import BudgetFilter
from orchestrator.model import Call, Found, SearchAnswer, SearchRequest
from orchestrator.ports import RateLimitStore
from orchestrator.principals import Principal
from orchestrator.quota import Verdict, Window
from orchestrator.service import stack
from storage.memory_budget import MemoryBudget
from storage.memory_rate_limit import MemoryRateLimit
from tests.support.calls import changed, make_call
from tests.support.clock import FakeClock
from tests.support.facts import Facts

NOON = 1_795_608_000.0
"""2026-11-25 12:00 UTC."""

TO_MIDNIGHT_S = 12 * 3600.0

ESTIMATE = Cost(amount=2.0, unit="credits", usd_micros=100)

DAILY = BudgetPolicy(usd_micros_per_day=1_000)
"""Ten calls a day."""


class Down:
    """A store, or a limiter, that is out of reach."""

    async def reserve(self, charges: Any) -> tuple[Balance, ...]:
        """Fail."""
        raise BudgetStoreUnavailable("Down.")

    async def claim(self, charge: Charge, mark: int) -> int:
        """Fail."""
        raise BudgetStoreUnavailable("Down.")

    async def settle(self, charges: Any) -> None:
        """Fail."""
        raise BudgetStoreUnavailable("Down.")

    async def figures(self, charges: Any) -> tuple[int | None, ...]:
        """Fail."""
        raise BudgetStoreUnavailable("Down.")

    async def raise_to(self, charge: Charge, mark: int = 0) -> None:
        """Fail."""
        raise BudgetStoreUnavailable("Down.")

    async def hit(self, client: str, windows: tuple[Window, ...]) -> Verdict:
        """Fail, as a limiter."""
        raise RateLimitStoreUnavailable("Down.")


class Upstream:
    """A provider that bills `outcome`, or fails with it."""

    def __init__(self, outcome: Cost | BaseException = ESTIMATE) -> None:
        self.outcome = outcome
        self.calls = 0

    async def __call__(self, call: Call[SearchRequest]) -> Found[SearchAnswer]:
        """Answer for the price, or raise."""
        self.calls += 1
        await asyncio.sleep(0)
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return Found(
            answer=SearchAnswer(results=(), answer=None, images=()), provider="tavily", cost=self.outcome
        )


Searching = Callable[[Call[SearchRequest]], Awaitable[Found[SearchAnswer]]]


class Spending:
    """The parts, and what is made of them."""

    def __init__(self) -> None:
        self.clock = FakeClock(now=NOON)
        self.store = MemoryBudget(self.clock)
        self.facts = Facts()

    def make(
        self,
        policy: BudgetPolicy = DAILY,
        *,
        provider: str = "tavily",
        counts_on: BudgetStore | None = None,
        rate_limits: RateLimitStore | None = None,
        estimate: Cost = ESTIMATE,
    ) -> Callable[[Call[SearchRequest], Searching], Awaitable[Found[SearchAnswer]]]:
        """Budget and attempt, as a service of a call and the provider behind both."""
        budget = BudgetFilter[SearchRequest, SearchAnswer](
            provider,
            self.clock,
            lambda _request: estimate,
            cashier=Cashier(counts_on or self.store, self.facts),
            rate_limits=MemoryRateLimit(self.clock) if rate_limits is None else rate_limits,
            policy=policy,
        )
        attempt = AttemptFilter[SearchRequest, SearchAnswer](provider, self.clock, lambda _request: estimate)
        return lambda call, upstream: stack(budget, attempt, service=upstream)(call)

    def call(self, client: str = "ann", patience_s: float = 9.0) -> Call[SearchRequest]:
        """A call of a client."""
        made = make_call(SearchRequest(query="tides"), clock=self.clock, patience_s=patience_s)
        return changed(made, principal=Principal(client=client))


async def told(store: BudgetStore, charge: Charge) -> list[int]:
    """Reserve as a call does; the marks that it tells, 100 for the stop."""
    facts = Facts()
    await Cashier(store, facts).reserve([charge])
    return [getattr(event, "percent", 100) for event in facts.events]


def spent(store: MemoryBudget, account: str = "all", period: str = "2026-11-25") -> int | None:
    """The figure of an account."""
    figure = store._figures.get((account, period))
    return figure.spent if figure else None
