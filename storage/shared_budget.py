"""Budgets counted where all processes count, and alone while that is out of reach.

Alone it goes on from the figures last seen there, and keeps a note of what it adds. The note is paid in as
soon as the shared count is back, so that an outage loses nothing; where it is not certain whether a sum has
arrived, it is rather counted twice than not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import msgspec

from orchestrator.budget_ports import Balance, Charge
from orchestrator.errors import BudgetStoreUnavailable
from orchestrator.ports import Clock
from storage.memory_budget import GRACE_S, MemoryBudget
from storage.redis_budget import RedisBudget


class SharedBudget:
    """A BudgetStore that never fails. Use it from one event loop."""

    def __init__(self, shared: RedisBudget, clock: Clock) -> None:
        self._shared = shared
        self._clock = clock
        self._alone = MemoryBudget(clock)
        self._has_been_alone = False
        self._owed: dict[tuple[str, str], Charge] = {}
        """What was counted here and not there, by account and period."""

    async def reserve(self, charges: Sequence[Charge]) -> tuple[Balance, ...]:
        """Make the charges if no account goes beyond its limit by that; a balance for each, in order."""
        try:
            await self._pay()
            return await self._shared.reserve(charges)
        except BudgetStoreUnavailable:
            self._begin(charges)
            balances = await self._alone.reserve(charges)
            if not any(balance.is_refused for balance in balances):
                self._owe(charges)
            return balances

    async def claim(self, charge: Charge, mark: int) -> int:
        """Take it upon oneself to tell this mark, and all below it; returns what was claimed before."""
        try:
            return await self._shared.claim(charge, mark)
        except BudgetStoreUnavailable:
            self._begin((charge,))
            return await self._alone.claim(charge, mark)

    async def settle(self, charges: Sequence[Charge]) -> None:
        """Correct figures by these amounts, whatever the limits."""
        may_be_there = False
        try:
            await self._pay()
            may_be_there = not self._shared.is_away
            await self._shared.settle(charges)
        except BudgetStoreUnavailable:
            self._begin(charges)
            await self._alone.settle(charges)
            self._owe(one for one in charges if one.amount > 0 or not may_be_there)

    async def figures(self, charges: Sequence[Charge]) -> tuple[int | None, ...]:
        """What is counted, there or here; `None` where there is no figure."""
        try:
            await self._pay()
            return await self._shared.figures(charges)
        except BudgetStoreUnavailable:
            return await self._alone.figures(charges)

    async def raise_to(self, charge: Charge, mark: int = 0) -> None:
        """See to it that the figure is at least the amount, and that no mark up to this one is told again."""
        try:
            await self._shared.raise_to(charge, mark)
        except BudgetStoreUnavailable:
            self._begin((charge,))
            await self._alone.raise_to(charge, mark)

    async def _pay(self) -> None:
        """End an outage: add what was counted here to the shared figures. Raises BudgetStoreUnavailable."""
        is_away = self._shared.is_away
        if not (self._owed or (self._has_been_alone and not is_away)):
            return
        owed, self._owed = self._owed, {}
        try:
            if owed:
                await self._shared.settle(tuple(owed.values()))
        except BaseException:  # whoever only looked at figures may leave meanwhile; the note stays
            self._owe(one for one in owed.values() if one.amount > 0 or is_away)
            raise
        alone = self._alone
        if not self._owed:
            # The next outage begins with what is known then, also if nothing is owed of this one.
            self._alone, self._has_been_alone = MemoryBudget(self._clock), False
        # At once, so that they travel together: many clients may be near their limits.
        await asyncio.gather(*(self._shared.raise_to(charge, mark) for charge, mark in alone.told()))

    def _begin(self, charges: Iterable[Charge]) -> None:
        self._has_been_alone = True
        for charge in charges:
            known = self._shared.known(charge)
            if known.ends_at:
                self._alone.begin(charge, known.spent, known.told)

    def _owe(self, charges: Iterable[Charge]) -> None:
        now = self._clock.now()
        for charge in charges:
            key = charge.account, charge.period
            before = self._owed.get(key)
            amount = charge.amount + (before.amount if before is not None else 0)
            self._owed[key] = msgspec.structs.replace(charge, amount=amount)
        self._owed = {
            key: one for key, one in self._owed.items() if one.amount and one.ends_at + GRACE_S > now
        }
