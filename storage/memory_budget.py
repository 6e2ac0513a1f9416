"""Budgets counted in this process's memory: for one machine, and while the shared count is out of reach."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from orchestrator.budget_ports import Balance, Charge
from orchestrator.ports import Clock

GRACE_S = 86_400.0
"""chosen: a figure outlives its period by a day, for who settles late and for clocks that are put back."""


class _Figure(msgspec.Struct):
    """`told` is the highest mark that was told; it was told for `limit`."""

    spent: int
    ends_at: float
    limit: int
    told: int = 0


class MemoryBudget:
    """A BudgetStore for one process. Never waits and never fails; figures of past periods are dropped."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._figures: dict[tuple[str, str], _Figure] = {}

    async def reserve(self, charges: Sequence[Charge]) -> tuple[Balance, ...]:
        """Make the charges if no account goes beyond its limit by that; a balance for each, in order."""
        lines = [(self._figure(charge), charge) for charge in charges]
        refusals = [_is_over(figure, charge) for figure, charge in lines]
        if not any(refusals):
            for figure, charge in lines:
                figure.spent += charge.amount
        return tuple(
            Balance(is_refused=is_refused, spent=figure.spent, told=figure.told)
            for is_refused, (figure, _) in zip(refusals, lines, strict=True)
        )

    async def claim(self, charge: Charge, mark: int) -> int:
        """Take it upon oneself to tell this mark, and all below it; returns what was claimed before."""
        figure = self._figure(charge)
        told, figure.told = figure.told, max(figure.told, mark)
        return told

    async def settle(self, charges: Sequence[Charge]) -> None:
        """Correct figures by these amounts, whatever the limits."""
        for charge in charges:
            if charge.amount > 0 or (charge.account, charge.period) in self._figures:
                self._figure(charge).spent += charge.amount

    async def figures(self, charges: Sequence[Charge]) -> tuple[int | None, ...]:
        """What is counted, `None` where there is no figure."""
        found = [self._figures.get((charge.account, charge.period)) for charge in charges]
        return tuple(None if figure is None else figure.spent for figure in found)

    async def raise_to(self, charge: Charge, mark: int = 0) -> None:
        """See to it that the figure is at least the amount, and that no mark up to this one is told again."""
        figure = self._figure(charge)
        figure.spent = max(figure.spent, charge.amount)
        figure.told = max(figure.told, mark)

    def told(self) -> list[tuple[Charge, int]]:
        """The figures of which a mark was told, as charges of nothing, each with its highest."""
        return [
            (Charge(account=account, period=period, ends_at=one.ends_at, limit=one.limit, amount=0), one.told)
            for (account, period), one in self._figures.items()
            if one.told
        ]

    def begin(self, charge: Charge, spent: int, told: int) -> None:
        """Begin a figure that is not there yet with what others have counted and told."""
        if (charge.account, charge.period) not in self._figures:
            figure = self._figure(charge)
            figure.spent, figure.told = spent, told

    def _figure(self, charge: Charge) -> _Figure:
        key = charge.account, charge.period
        figure = self._figures.get(key)
        if figure is None:
            now = self._clock.now()
            self._figures = {key: one for key, one in self._figures.items() if one.ends_at + GRACE_S > now}
            figure = self._figures[key] = _Figure(0, charge.ends_at, charge.limit)
        if charge.limit > figure.limit:
            figure.limit, figure.told = charge.limit, 0
        return figure


def _is_over(figure: _Figure, charge: Charge) -> bool:
    return charge.amount > 0 and figure.spent + charge.amount > charge.limit
