"""What counts the spending of an installation, put together from its settings."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from api.settings import Settings
from api.usage_sources import usage_sources
from orchestrator.budget_audit import BudgetAudit
from orchestrator.budget_policy import BudgetPolicy
from orchestrator.budget_ports import BudgetStore
from orchestrator.budgets import Budgets
from orchestrator.ports import Clock, FactSink, RateLimitStore, ReportStore
from orchestrator.reconciliation import Reconciliation, ReconciliationPolicy
from storage.memory_budget import MemoryBudget
from storage.redis_budget import RedisBudget
from storage.redis_client import RedisClient
from storage.shared_budget import SharedBudget

HOUR_S = 3600.0


def budget_store(redis: RedisClient | None, clock: Clock) -> BudgetStore:
    """Where spending is counted: for all processes if there is a Redis, else for this one."""
    return MemoryBudget(clock) if redis is None else SharedBudget(RedisBudget(redis), clock)


@contextlib.asynccontextmanager
async def running_budgets(
    settings: Settings,
    policy: BudgetPolicy,
    store: BudgetStore,
    *,
    reports: ReportStore,
    facts: FactSink,
    clock: Clock,
    rate_limits: RateLimitStore,
) -> AsyncIterator[Budgets]:
    """The budgets of the installation, which know what was spent before when the context is entered."""
    async with usage_sources(settings, clock) as sources:
        reconciliation = Reconciliation(
            sources,
            ReconciliationPolicy(every_s=settings.reconcile_every_h * HOUR_S),
            reports=reports,
            facts=facts,
            clock=clock,
            rate_limits=rate_limits,
        )
        budgets = Budgets(BudgetAudit(store, policy, reports, clock), reconciliation)
        await budgets.begin()
        async with budgets.running():
            yield budgets
