"""The settings of the cache: how long answers are kept, how much of them, and for whom."""

from __future__ import annotations

from pydantic import BaseModel, Field

from orchestrator import limits


class CacheSettings(BaseModel):
    """What the cache may keep."""

    cache_ttl_s: float | None = Field(default=None, gt=0)
    """How long an answer is fresh; `None` leaves it to the policy, which goes by topic."""
    l1_max_bytes: int = Field(default=limits.L1_BYTES_MAX, ge=0)
    """Size of the cache in memory; 0 switches it off."""
    memory_max_bytes: int | None = Field(default=None, ge=1)
    """What a worker may take in all before its cache gives way; `None` leaves it to the cgroup's limit."""
