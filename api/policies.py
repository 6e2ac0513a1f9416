"""From settings to policies: what an operator may choose about the pipeline."""

from __future__ import annotations

from msgspec import structs

from api.settings import Settings
from orchestrator.budget_policy import MILLION, BudgetPolicy
from orchestrator.cache_policy import CachePolicy
from orchestrator.cooldown import CircuitPolicy
from orchestrator.filters.concurrency import ConcurrencyPolicy
from orchestrator.filters.provider_room import ProviderRoomPolicy, ProviderRooms
from orchestrator.filters.rate_limit import RateLimitPolicy
from orchestrator.filters.validate_result import ResultPolicy
from orchestrator.hedging import HedgePolicy
from orchestrator.parts import Policies
from orchestrator.ports import ProviderTiming
from orchestrator.warming_plan import WarmingPolicy
from orchestrator.warming_schedule import Schedule


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


def warming_of(settings: Settings) -> WarmingPolicy:
    """How much is warmed. What would expire before the next time is warmed now."""
    policy = WarmingPolicy(top=settings.warm_top, usd_micros_max=round(settings.warm_usd_max * MILLION))
    if settings.warm_every_s is None:
        return policy
    return structs.replace(policy, horizon_s=max(settings.warm_every_s, policy.horizon_s))


def schedule_of(settings: Settings) -> Schedule:
    """When the cache is warmed by itself."""
    if settings.warm_at is None:
        return Schedule(every_s=settings.warm_every_s)
    opens_s, closes_s = map(_since_midnight_s, settings.warm_at.split("-"))
    return Schedule(opens_s=opens_s, closes_s=closes_s, every_s=settings.warm_every_s)


def _since_midnight_s(clock: str) -> int:
    hours, minutes = map(int, clock.split(":"))
    return hours * 3_600 + minutes * 60


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


UNITS = {"tavily": "credits", "jina": "tokens"}
"""In what providers count; the names of their settings end in it."""


def _budget(settings: Settings) -> BudgetPolicy:
    return BudgetPolicy(
        usd_micros_per_day=_micros(settings.budget_usd_per_day),
        usd_micros_per_month=_micros(settings.budget_usd_per_month),
        client_usd_micros_per_day=_micros(settings.client_budget_usd_per_day),
        client_usd_micros_per_month=_micros(settings.client_budget_usd_per_month),
        units_per_day=_given(tavily=settings.tavily_credits_per_day, jina=settings.jina_tokens_per_day),
        units_per_month=_given(tavily=settings.tavily_credits_per_month, jina=settings.jina_tokens_per_month),
        units=UNITS,
        calls_per_minute=_given(tavily=settings.tavily_per_minute, jina=settings.jina_per_minute),
    )


def _micros(usd: float | None) -> int | None:
    return None if usd is None else round(usd * MILLION)


def _given(**values: int | None) -> dict[str, int]:
    """What is set, by provider."""
    return {name: value for name, value in values.items() if value is not None}
