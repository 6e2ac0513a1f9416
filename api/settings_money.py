"""The settings of money: what may be spent, and how often it may be asked."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

Usd = Annotated[float | None, Field(ge=0.000_001, le=1_000_000)]
"""At least what is counted: a millionth of a dollar. Less would round to a limit of nothing."""
Units = Annotated[int | None, Field(ge=1, le=5_000_000_000)]
"""Bounded by what Redis compares exactly (storage/redis_budget.py)."""


class MoneySettings(BaseModel):
    """What may be spent in a UTC day or month; `None` is no limit."""

    budget_usd_per_day: Usd = None
    """What all providers together may cost in a UTC day."""
    budget_usd_per_month: Usd = None
    client_budget_usd_per_day: Usd = None
    """What each client may have spent for it; a client that has spent it is refused (432)."""
    client_budget_usd_per_month: Usd = None
    tavily_credits_per_day: Units = None
    """A provider that has spent its units is passed by."""
    tavily_credits_per_month: Units = None
    jina_tokens_per_day: Units = None
    jina_tokens_per_month: Units = None
    tavily_per_minute: int | None = Field(default=None, ge=1)
    """How often Tavily may be called in a minute; `None` leaves it to Tavily."""
    jina_per_minute: int | None = Field(default=None, ge=1)
    reconcile_every_h: float = Field(default=6.0, ge=0, le=720)
    """How often providers are asked what they have counted; 0 asks on command only."""
