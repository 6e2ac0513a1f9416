"""What counts the spending of an installation, put together from its settings."""

from __future__ import annotations

import msgspec

from api.settings import Settings
from orchestrator.budget_audit import BudgetAudit
from orchestrator.budget_policy import BudgetPolicy
from orchestrator.budgets import Budgets
from orchestrator.ports import BudgetStore, Clock, FactSink, RateLimitStore, ReportStore, UsageSource
from orchestrator.providers.jina_usage import JinaUsage
from orchestrator.providers.tavily_usage import TavilyUsage
from orchestrator.providers.upstream import Upstream
from orchestrator.reconciliation import Reconciliation, ReconciliationPolicy
from storage.memory_budget import MemoryBudget
from storage.redis_budget import RedisBudget
from storage.redis_client import RedisClient
from storage.shared_budget import SharedBudget

HOUR_S = 3600.0


def budget_store(redis: RedisClient | None, clock: Clock) -> BudgetStore:
    """Where spending is counted: for all processes if there is a Redis, else for this one."""
    return MemoryBudget(clock) if redis is None else SharedBudget(RedisBudget(redis), clock)


def usage_sources(settings: Settings, clock: Clock) -> tuple[UsageSource, ...]:
    """Who can be asked what was used: the providers in the chain that have a key and tell."""
    found: list[UsageSource] = []
    for name in settings.providers:
        keys = _keys(settings, name)
        if keys and name == "tavily":
            upstream = Upstream(name, clock, connections_max=1)
            found.append(TavilyUsage(upstream, settings.tavily_base_url, keys))
        elif keys and name == "jina":
            upstream = Upstream(name, clock, connections_max=1)
            found.append(JinaUsage(upstream, settings.jina_reader_url, keys))
    return tuple(found)


def budgets(
    settings: Settings,
    policy: BudgetPolicy,
    sources: tuple[UsageSource, ...],
    *,
    store: BudgetStore,
    reports: ReportStore,
    facts: FactSink,
    clock: Clock,
    rate_limits: RateLimitStore,
) -> Budgets:
    """The budgets of the installation. The sources stay the caller's."""
    every_s = settings.reconcile_every_h * HOUR_S
    reconciliation = Reconciliation(
        sources,
        msgspec.structs.replace(ReconciliationPolicy(), every_s=every_s),
        reports,
        facts,
        clock,
        rate_limits,
    )
    return Budgets(BudgetAudit(store, policy, reports, clock), reconciliation)


def _keys(settings: Settings, provider: str) -> tuple[str, ...]:
    key = settings.api_key(provider)
    return () if key is None else (key,)
