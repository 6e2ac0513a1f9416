"""From settings to policies: what an operator may choose about the pipeline."""

from __future__ import annotations

from api.settings import Settings
from orchestrator.cache_policy import CachePolicy
from orchestrator.cooldown import CircuitPolicy
from orchestrator.filters.budget import MILLION, BudgetPolicy
from orchestrator.filters.concurrency import ConcurrencyPolicy
from orchestrator.filters.provider_room import ProviderRoomPolicy, ProviderRooms
from orchestrator.filters.rate_limit import RateLimitPolicy
from orchestrator.filters.validate_result import ResultPolicy
from orchestrator.hedging import HedgePolicy
from orchestrator.parts import Policies
from orchestrator.ports import ProviderTiming


def policies_of(settings: Settings) -> Policies:
    """The policies of an installation; what has no setting keeps the default of its mechanism."""
    return Policies(
        deadline_s=settings.deadline_s,
        cache=_cache(settings),
        concurrency=ConcurrencyPolicy(calls_max=settings.concurrency_max),
        rate_limit=RateLimitPolicy(
            burst=settings.rate_burst, per_minute=settings.rate_per_minute, per_hour=settings.rate_per_hour
        ),
        circuit=_circuit(settings),
        budget=_budget(settings),
        rooms=_rooms(settings),
        hedge=HedgePolicy(ratio=settings.hedge_ratio),
        results=ResultPolicy(results_min=settings.results_min),
        timing=ProviderTiming(
            search_s=settings.search_timeout_s,
            search_advanced_s=settings.search_advanced_timeout_s,
            extract_s=settings.extract_timeout_s,
        ),
    )


def _circuit(settings: Settings) -> CircuitPolicy:
    day = settings.tavily_reset_day
    return CircuitPolicy(
        failures_max=settings.circuit_failures,
        cooldowns_s=settings.circuit_cooldowns_s,
        reset_days={} if day is None else {"tavily": day},
    )


def _cache(settings: Settings) -> CachePolicy:
    return CachePolicy(
        ttl_s=settings.cache_ttl_s,
        fast_ttl_s=settings.news_ttl_s,
        empty_ttl_s=settings.empty_ttl_s,
        stale_while_revalidate_s=settings.stale_while_revalidate_s,
        stale_if_error_s=settings.stale_if_error_s,
        stale_if_quota_s=settings.stale_if_quota_s,
        is_per_client=settings.cache_scope == "client",
    )


def _rooms(settings: Settings) -> ProviderRooms:
    at_once = {"tavily": settings.tavily_concurrency, "jina": settings.jina_concurrency}
    return ProviderRooms(named={name: ProviderRoomPolicy(calls_max=calls) for name, calls in at_once.items()})


def _budget(settings: Settings) -> BudgetPolicy:
    per_minute = {"tavily": settings.tavily_per_minute, "jina": settings.jina_per_minute}
    day, month = settings.budget_usd_per_day, settings.budget_usd_per_month
    return BudgetPolicy(
        usd_micros_per_day=None if day is None else round(day * MILLION),
        usd_micros_per_month=None if month is None else round(month * MILLION),
        calls_per_minute={name: calls for name, calls in per_minute.items() if calls is not None},
    )
