"""Takes and gives back money for calls that may be cut short at any moment.

A call can be cancelled while its reservation or its settlement is on the way: by its deadline, by a provider
that was faster, by a client that left. Either then goes on in a task of the cashier's, and a reservation that
nobody waits for any more is given back. Without that it would stay counted, for a call that was never made.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import msgspec

from orchestrator.budget_ports import MARKS, STOPPED, Balance, BudgetStore, Charge
from orchestrator.errors import BudgetStoreUnavailable
from orchestrator.facts import BudgetStopped, BudgetWarned
from orchestrator.ports import FactSink

SETTLE_S = 5.0
"""chosen: a hundred times what a store may take (`AMOS_REDIS_TIMEOUT_S`); one that hangs ends no process
later."""

ValueT = TypeVar("ValueT")


class Verdict(msgspec.Struct, frozen=True):
    """What came of a reservation: whether it was made, and the charge that did not fit, if one did not.

    Neither: no store was in reach, and the call may go on uncounted; its price is in the log all the same.
    """

    is_made: bool = False
    refused: Charge | None = None


class Cashier:
    """Reserves and settles on one store, and records what an account warns of. End it with `aclose`."""

    def __init__(self, store: BudgetStore, facts: FactSink) -> None:
        self._store = store
        self._facts = facts
        self._tasks: set[asyncio.Task[Any]] = set()

    async def reserve(self, charges: Sequence[Charge]) -> Verdict:
        """Make the charges, all or none. Cancelled, it makes none, or gives them back."""
        task = self._own(self._reserve(charges))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(lambda done: self._give_back(done, charges))
            raise

    async def settle(self, corrections: Sequence[Charge]) -> None:
        """Make the corrections, also if the wait for them is cancelled.

        One that cannot be made leaves the reservation counted: rather too much than too little.
        """
        if corrections:
            await asyncio.shield(self._own(self._settle(corrections)))

    async def aclose(self) -> None:
        """Wait for what is under way, within `SETTLE_S`."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _own(self, work: Coroutine[Any, Any, ValueT]) -> asyncio.Task[ValueT]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _reserve(self, charges: Sequence[Charge]) -> Verdict:
        try:
            async with asyncio.timeout(SETTLE_S):
                balances = await self._store.reserve(charges)
        except (BudgetStoreUnavailable, TimeoutError):
            return Verdict()
        pairs = list(zip(charges, balances, strict=True))
        refused = next((charge for charge, balance in pairs if balance.is_refused), None)
        with contextlib.suppress(BudgetStoreUnavailable, TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                for charge, balance in pairs:
                    await self._tell(charge, balance, charge.amount if refused is None else 0)
        return Verdict(refused is None, refused)

    def _give_back(self, done: asyncio.Task[Verdict], charges: Sequence[Charge]) -> None:
        if not done.cancelled() and done.exception() is None and done.result().is_made:
            back = [msgspec.structs.replace(charge, amount=-charge.amount) for charge in charges]
            self._own(self._settle(back))

    async def _settle(self, corrections: Sequence[Charge]) -> None:
        with contextlib.suppress(BudgetStoreUnavailable, TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                await self._store.settle(corrections)

    async def _tell(self, charge: Charge, balance: Balance, added: int) -> None:
        """Record the marks that nobody has told yet, after claiming them: each is recorded once."""
        due = [mark for mark in _marks(charge, balance, added) if mark > balance.told]
        if not due:
            return
        told = await self._store.claim(charge, due[-1])
        fields: dict[str, Any] = {
            "account": charge.account,
            "period": charge.period,
            "spent": balance.spent,
            "limit": charge.limit,
        }
        for mark in due:
            if mark > told:
                event = BudgetStopped(**fields) if mark == STOPPED else BudgetWarned(percent=mark, **fields)
                self._facts.record_fact(f"budget:{charge.account}", event)


def _marks(charge: Charge, balance: Balance, added: int) -> list[int]:
    """The marks of an account, lowest first: those it was beyond before, and the highest that it reaches now.

    Who passed the first has told them, unless the reply to that reservation was lost.
    """
    before = _reached(balance.spent - added, charge.limit)
    now = [STOPPED] if balance.is_refused else _reached(balance.spent, charge.limit)[-1:]
    return sorted({*before, *now})


def _reached(spent: int, limit: int) -> list[int]:
    return [mark for mark in MARKS if spent * 100 >= limit * mark]
