"""The settings of the cache: how long answers are kept, how much of them, and for whom."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from api.settings_values import stretch_of_day
from orchestrator import limits
from orchestrator.warming_plan import TOP_MAX, WarmingPolicy

_WARMING = WarmingPolicy()


class CacheSettings(BaseModel):
    """What the cache may keep."""

    cache_ttl_s: float | None = Field(default=None, gt=0)
    """How long an answer is fresh; `None` leaves it to the policy, which goes by topic."""
    l1_max_bytes: int = Field(default=limits.L1_BYTES_MAX, ge=0)
    """Size of the cache in memory; 0 switches it off."""

    # --- warming: off unless one of the first two is set
    warm_at: Annotated[str | None, AfterValidator(stretch_of_day)] = None
    """The stretch of a day, in UTC, in which the cache is warmed once: `03:00-05:00`."""
    warm_every_s: float | None = Field(default=None, ge=60)
    """Warm as often; with `warm_at` only in that stretch."""
    warm_top: int = Field(default=_WARMING.top, ge=1, le=TOP_MAX)
    """How many of the searches that are asked most are kept warm."""
    warm_usd_max: float = Field(default=_WARMING.usd_micros_max / 1_000_000, gt=0, le=1_000_000)
    """What one warming may cost."""
