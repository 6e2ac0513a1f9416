"""The settings of money: what may be spent, and how often it may be asked."""

from __future__ import annotations

from pydantic import BaseModel, Field


class MoneySettings(BaseModel):
    """What may be spent."""

    budget_usd_per_day: float | None = Field(default=None, gt=0, le=1_000_000)
    """What all providers together may cost in a UTC day; `None` is no limit."""
    budget_usd_per_month: float | None = Field(default=None, gt=0, le=1_000_000)
    tavily_per_minute: int | None = Field(default=None, ge=1)
    """How often Tavily may be called in a minute; `None` leaves it to Tavily."""
    jina_per_minute: int | None = Field(default=None, ge=1)
