"""The budgets of an installation for whoever operates it: how they stand, and whether the providers agree."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping

import msgspec

from orchestrator.budget_audit import BudgetAudit, Line
from orchestrator.events import MILLION
from orchestrator.facts import UsageReconciled
from orchestrator.reconciliation import Look, Reconciliation
from orchestrator.reports.metrics import GAUGE, Family


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    """One account in whole units. What is spent includes what calls under way have reserved.

    `recorded` is what the event log adds up to; `ends_at` is when the period ends, epoch seconds.
    """

    account: str
    period: str
    unit: str
    spent: float
    limit: float
    left: float
    spent_ratio: float
    recorded: float
    ends_at: float


class UsageView(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider has counted beside what is recorded, since a moment. Moments are epoch seconds."""

    provider: str
    unit: str
    since: float
    reported: float
    recorded: float
    difference: float
    is_off: bool
    asked_at: float


class Spendings(msgspec.Struct, frozen=True, kw_only=True):
    """Every account, and the newest look at each provider."""

    accounts: tuple[AccountView, ...]
    usage: tuple[UsageView, ...]


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """Why a provider did not tell what it has counted."""

    provider: str
    reason: str


class Reconciled(Spendings, frozen=True, kw_only=True):
    """The same after a look, and which providers told nothing."""

    not_told: tuple[Silence, ...]


class Budgets:
    """What is limited and what was spent of it. `begin` before the first call, then `running`."""

    def __init__(self, audit: BudgetAudit, reconciliation: Reconciliation) -> None:
        self._audit = audit
        self._reconciliation = reconciliation

    @property
    def looks(self) -> Mapping[str, Look]:
        """The newest look at each provider's own count that this process knows of."""
        return self._reconciliation.seen

    def is_off(self, seen: UsageReconciled) -> bool:
        """Whether what a provider reports is too far from what is recorded."""
        return self._reconciliation.policy.is_off(seen)

    async def begin(self) -> None:
        """Let the count know what was spent before. Waits for two seconds at most."""
        await self._audit.begin()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Compare with the record and with the providers while the context lasts."""
        async with self._audit.running(), self._reconciliation.running():
            yield

    def figures(self) -> tuple[Family, ...]:
        """What the last looks saw, as measures of this process; clients are in reports only."""
        spent = [
            (
                (line.charge.account, line.account.per),
                max(line.recorded, line.counted or 0) / line.charge.limit,
            )
            for line in self._audit.seen
        ]
        off = [
            ((name, look.fact.unit), look.fact.reported - look.fact.recorded)
            for name, look in self.looks.items()
        ]
        return (
            Family(
                "amos_budget_spent_ratio",
                "The share of a limit that is spent or reserved.",
                GAUGE,
                ("account", "per"),
                tuple(spent),
            ),
            Family(
                "amos_usage_difference",
                "What a provider has counted beyond what is recorded, in its own unit.",
                GAUGE,
                ("provider", "unit"),
                tuple(off),
            ),
        )

    async def report(self) -> Spendings:
        """Every account, and the newest look at each provider. Raises EventLogUnavailable."""
        await self._reconciliation.refresh()
        accounts = map(_account, await self._audit.lines())
        return Spendings(
            accounts=tuple(sorted(accounts, key=lambda one: (one.account, one.ends_at))),
            usage=tuple(
                _usage(look, is_off=self.is_off(look.fact)) for _, look in sorted(self.looks.items())
            ),
        )

    async def reconcile(self) -> Reconciled:
        """Ask the providers now, once a minute at most; the report, and why a provider told nothing.

        Raises EventLogUnavailable.
        """
        silent = await self._reconciliation.reconcile()
        report = await self.report()
        return Reconciled(
            accounts=report.accounts,
            usage=report.usage,
            not_told=tuple(Silence(provider=name, reason=why) for name, why in sorted(silent.items())),
        )


def _account(line: Line) -> AccountView:
    limit = line.charge.limit
    spent = max(line.recorded, 0) if line.counted is None else line.counted
    return AccountView(
        account=line.charge.account,
        period=line.charge.period,
        unit=line.account.unit,
        spent=spent / MILLION,
        limit=limit / MILLION,
        left=max(0, limit - spent) / MILLION,
        spent_ratio=spent / limit,
        recorded=line.recorded / MILLION,
        ends_at=line.charge.ends_at,
    )


def _usage(look: Look, *, is_off: bool) -> UsageView:
    seen = look.fact
    return UsageView(
        provider=seen.provider,
        unit=seen.unit,
        since=seen.since,
        reported=seen.reported,
        recorded=seen.recorded,
        difference=seen.reported - seen.recorded,
        is_off=is_off,
        asked_at=look.at,
    )
