"""The settings of the cache: how long answers are kept, how much of them, and for whom."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field

from api.settings_values import stretch_of_day
from orchestrator import limits
from orchestrator.cache_policy import CachePolicy
from orchestrator.events import MILLION
from orchestrator.warming_plan import TOP_MAX, WarmingPolicy

_POLICY = CachePolicy()
_WARMING = WarmingPolicy()


class CacheSettings(BaseModel):
    """What the cache may keep. All times in seconds."""

    cache_ttl_s: float = Field(default=_POLICY.ttl_s, gt=0)
    """How long an answer is fresh."""
    news_ttl_s: float = Field(default=_POLICY.fast_ttl_s, gt=0)
    """The same for the topics news and finance; the shorter of both counts."""
    empty_ttl_s: float = Field(default=_POLICY.empty_ttl_s, gt=0)
    """The same for an answer without results."""
    stale_while_revalidate_s: float = Field(
        default=_POLICY.stale_while_revalidate_s, ge=0, le=limits.L2_TTL_S_MAX
    )
    """How long after that it is still given at once, while a fresh one is fetched; 0: never."""
    stale_if_error_s: float = Field(default=_POLICY.stale_if_error_s, ge=0, le=limits.L2_TTL_S_MAX)
    """How long after that it is given when no provider can answer, or none in time; 0: never."""
    stale_if_quota_s: float = Field(default=_POLICY.stale_if_quota_s, ge=0, le=limits.L2_TTL_S_MAX)
    """How long after that it is given when a quota or a budget is used up; 0: never."""
    cache_scope: Literal["shared", "client"] = "shared"
    """Whose answers a caller may get: everybody's, or only those fetched for the same client."""
    l1_max_bytes: int = Field(default=limits.L1_BYTES_MAX, ge=0)
    """Size of the cache in memory; 0 switches it off."""
    memory_max_bytes: int | None = Field(default=None, ge=1)
    """What a worker may take in all before its cache gives way; `None` leaves it to the cgroup's limit."""

    # --- warming: off unless one of the first two is set
    warm_at: Annotated[str | None, AfterValidator(stretch_of_day)] = None
    """The stretch of a day, in UTC, in which the cache is warmed once: `03:00-05:00`."""
    warm_every_s: float | None = Field(default=None, ge=60)
    """Warm as often; with `warm_at` only in that stretch."""
    warm_top: int = Field(default=_WARMING.top, ge=1, le=TOP_MAX)
    """How many of the searches that are asked most are kept warm."""
    warm_usd_max: float = Field(default=_WARMING.usd_micros_max / MILLION, gt=0, le=1_000_000)
    """What one warming may cost."""
