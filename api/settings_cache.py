"""The settings of the cache: how long answers are kept, how much of them, and for whom."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from orchestrator import limits
from orchestrator.cache_policy import CachePolicy

_POLICY = CachePolicy()


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
