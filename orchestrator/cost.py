"""What a call of a provider costs: a value of events, answers and budgets."""

from __future__ import annotations

import msgspec


class Cost(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one provider call costs: the provider's own unit, and money as an integer.

    `amount` counts `unit`s (`credits` at Tavily, `tokens` at Jina); 0 is free.
    """

    amount: float = 0.0
    unit: str = ""
    usd_micros: int = 0

    def __add__(self, other: Cost) -> Cost:
        """Both together.

        Amounts of different units do not add: the sum is then in money only, unit `mixed`.
        """
        if self == FREE:
            return other
        if other == FREE:
            return self
        micros = self.usd_micros + other.usd_micros
        if self.unit != other.unit:
            return Cost(unit="mixed", usd_micros=micros)
        return Cost(amount=self.amount + other.amount, unit=self.unit, usd_micros=micros)


FREE = Cost()
"""The cost of a call nobody bills."""
