"""Holds what is counted against what is recorded: a count that has forgotten something is told.

The ledger is a fold over the log and forgets nothing, but it is a second late; the stores know at once, and
may lose what they know: a process ends, a Redis comes back empty. So every figure begins with what the record
says, and is compared with it from then on, beside the path of every call.

A lack is believed when two looks in a row have seen one, and then the smaller of both is added: a look may
meet calls whose estimates the record still has and the store has settled. What is counted too much stays.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from orchestrator.background import repeating
from orchestrator.budget_policy import ALL, CLIENT, PROVIDER, Account, BudgetPolicy
from orchestrator.budget_ports import MARKS, STOPPED, BudgetStore, Charge
from orchestrator.errors import GatewayError
from orchestrator.events import MILLION
from orchestrator.facts import BudgetStopped, BudgetWarned
from orchestrator.ports import Clock, ReportStore
from orchestrator.reports.report import Question

SEED_S = 2.0
"""chosen: a start does not wait longer for a database; budgets then begin with what the stores know."""

LOOK_S = 60.0
"""chosen: a look costs two reports; what is lost between two is what others spend in a minute, at most."""

LOOK_AGAIN_S = 5.0
"""chosen: a lack is looked at again after five times what the record is late by."""

LOOK_S_MAX = 30.0
"""chosen: a database that takes longer for some sums tells nothing of now."""

BATCH = 256
"""chosen: figures asked for at once; a script that reads so many holds Redis up for a tenth of a
millisecond."""


class Line(NamedTuple):
    """One account as it is now: `recorded` is the ledger's figure, `counted` the store's, `None` of none.

    `charge` has the account's full name, its period and limit; its amount is what is recorded.
    """

    account: Account
    charge: Charge
    counted: int | None

    @property
    def recorded(self) -> int:
        """What the record says was spent, what is assumed included."""
        return self.charge.amount

    @property
    def lack(self) -> int:
        """By how much the store has counted less than is recorded; 0 if it has not."""
        return max(0, self.recorded - (self.counted or 0))


class BudgetAudit:
    """Compares and corrects. `begin` once, then `running` as long as calls are served."""

    def __init__(self, store: BudgetStore, policy: BudgetPolicy, reports: ReportStore, clock: Clock) -> None:
        self._store = store
        self._policy = policy
        self._reports = reports
        self._clock = clock
        self._lacks: dict[tuple[str, str], int] = {}
        """What the last look found lacking, by account and period."""
        self.seen: tuple[Line, ...] = ()
        """What the last look saw of the installation and the providers, clients left out."""

    async def begin(self) -> None:
        """Tell the store what was spent before. Waits for `SEED_S` at most; without a record for nothing."""
        with contextlib.suppress(GatewayError, TimeoutError):
            async with asyncio.timeout(SEED_S):
                await self.look()

    def running(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Look again and again while the context lasts."""
        return repeating(self._step, self._clock, "the audit of the budgets", first_s=self._pause_s)

    async def look(self) -> None:
        """Compare all accounts once, and correct. Raises EventLogUnavailable, BudgetStoreUnavailable."""
        lacks: dict[tuple[str, str], int] = {}
        lines = await self.lines()
        self.seen = tuple(line for line in lines if line.account.name != CLIENT)
        for line in lines:
            key = line.charge.account, line.charge.period
            if not line.lack:
                continue
            if line.counted is None:
                await self._store.raise_to(line.charge, await self._told(line))
                continue
            believed = min(self._lacks.get(key, 0), line.lack)
            if believed:
                await self._raise(line, believed)
            if line.lack > believed:
                lacks[key] = line.lack - believed
        self._lacks = lacks

    async def lines(self) -> tuple[Line, ...]:
        """Every account that is limited, and every client that has spent anything.

        Raises EventLogUnavailable, BudgetStoreUnavailable.
        """
        now = self._clock.now()
        found: list[tuple[Account, Charge]] = []
        for per in ("day", "month"):
            found += await self._recorded(per, now)
        lines: list[Line] = []
        for begin in range(0, len(found), BATCH):
            batch = found[begin : begin + BATCH]
            figures = await self._store.figures([charge for _, charge in batch])
            lines += (
                Line(account, charge, counted)
                for (account, charge), counted in zip(batch, figures, strict=True)
            )
        return tuple(lines)

    async def _recorded(self, per: str, now: float) -> list[tuple[Account, Charge]]:
        """The accounts of a kind of period, with what the record says of each."""
        policy = self._policy
        whole = [one for one in (*policy.of_all, *policy.of_providers) if one.per == per]
        of_clients = [one for one in policy.of_clients if one.per == per]
        if not (whole or of_clients):
            return []
        since = (whole or of_clients)[0].begins_at(now)
        question = Question(since=since, until=now, by="client" if of_clients else "")
        report = await self._reports.report("cost", question)
        found = [(one, one.sum_of("", spent_on(one, report), now)) for one in whole]
        for row in report["rows"]:
            spent = row["spent_usd_micros"] + row["assumed_usd_micros"]
            found += ((one, one.sum_of(row["client"], spent, now)) for one in of_clients)
        return found

    async def _raise(self, line: Line, lack: int) -> None:
        charge = line.account.sum_of(
            line.charge.account.removeprefix(CLIENT), (line.counted or 0) + lack, self._clock.now()
        )
        if charge.period == line.charge.period:  # else it is over by now
            await self._store.raise_to(charge)

    async def _told(self, line: Line) -> int:
        """The highest mark that the record says was told of this account, for this limit or a higher one."""
        charge = line.charge
        if charge.amount * 100 < charge.limit * MARKS[0]:
            return 0  # nothing can have been told
        frames = await self._reports.execution(f"budget:{charge.account}")
        told = [
            event.percent if isinstance(event, BudgetWarned) else STOPPED
            for event in (envelope.event for frame in frames for envelope in frame.events)
            if isinstance(event, BudgetWarned | BudgetStopped)
            and event.period == charge.period
            and event.limit >= charge.limit
        ]
        return max(told, default=0)

    @property
    def _pause_s(self) -> float:
        return LOOK_AGAIN_S if self._lacks else LOOK_S

    async def _step(self) -> float:
        try:
            async with asyncio.timeout(LOOK_S_MAX):
                await self.look()
        except (GatewayError, TimeoutError):
            self._lacks = {}
        return self._pause_s


def spent_on(account: Account, report: Mapping[str, Any]) -> int:
    """What a cost report says of an account of the installation or of a provider, assumed costs included."""
    if account.name == ALL:
        return int(report["spent_usd_micros"] + report["assumed_usd_micros"])
    name = account.name.removeprefix(PROVIDER)
    return sum(
        round((line["spent"] + line["assumed"]) * MILLION)
        for line in report["units"]
        if line["provider"] == name
    )
