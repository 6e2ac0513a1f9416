"""What each client has used this month, for whoever asks about themselves.

All clients are read at once and kept for some seconds, so that however many ask, and however often, the
database adds up one month at a time, no more than four times a minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from orchestrator.budget_policy import CLIENT, Account, BudgetPolicy
from orchestrator.errors import EventLogUnavailable
from orchestrator.ports import Clock, ReportStore
from orchestrator.projections.ledger import LedgerRollup
from orchestrator.reports.report import Need

FRESH_S = 15.0
"""chosen: a caller that looks at its usage after each call would otherwise cost more than the calls."""

READ_S_MAX = 3.0
"""chosen: a database that takes longer for some sums has better things to do."""

_MONTH = Account(CLIENT, "month", 0)

_NEED = Need(LedgerRollup(), ("client", "operation"), only=("spent_usd_micros", "assumed_usd_micros"))


class ClientUsage(msgspec.Struct, frozen=True, kw_only=True):
    """One client in the running month (UTC), which began at `since`; `read_at` is when the record was read.

    `usd_micros` has what was spent on each operation, assumed costs included; the limits are the client's
    budgets, `None` without one. All money is in millionths of a US dollar.
    """

    client: str
    since: float
    read_at: float
    usd_micros: Mapping[str, int]
    limit_per_day: int | None
    limit_per_month: int | None


class _Read(msgspec.Struct, frozen=True):
    since: float
    at: float
    by_client: Mapping[str, Mapping[str, int]]


class Usage:
    """Reads the ledger. May be asked concurrently; one read is under way at a time."""

    def __init__(self, reports: ReportStore, policy: BudgetPolicy, clock: Clock) -> None:
        self._reports = reports
        self._policy = policy
        self._clock = clock
        self._lock = asyncio.Lock()
        self._last: _Read | None = None

    async def of(self, client: str) -> ClientUsage:
        """What the client has used. Raises EventLogUnavailable, within `READ_S_MAX` seconds."""
        try:
            async with asyncio.timeout(READ_S_MAX), self._lock:
                read = await self._read()
        except TimeoutError as slow:
            raise EventLogUnavailable("The record could not be added up in time.") from slow
        return ClientUsage(
            client=client,
            since=read.since,
            read_at=read.at,
            usd_micros=read.by_client.get(client, {}),
            limit_per_day=self._policy.client_usd_micros_per_day,
            limit_per_month=self._policy.client_usd_micros_per_month,
        )

    async def _read(self) -> _Read:
        now = self._clock.now()
        since = _MONTH.begins_at(now)
        last = self._last
        if last is not None and last.since == since and 0 <= now - last.at < FRESH_S:
            return last
        sums = await self._reports.sums(_NEED, since, now)
        by_client: dict[str, dict[str, int]] = {}
        for (client, operation), (spent, assumed) in sums.items():
            by_client.setdefault(str(client), {})[str(operation)] = spent + assumed
        self._last = _Read(since, now, by_client)
        return self._last
