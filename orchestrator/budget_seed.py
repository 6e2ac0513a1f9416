"""What was spent before this process began: budgets start from the record, not from nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from orchestrator.errors import BudgetStoreUnavailable, EventLogUnavailable
from orchestrator.events import Cost
from orchestrator.filters.budget import BudgetPolicy
from orchestrator.ports import BudgetStore, Clock, ReportStore
from orchestrator.reports.report import Question

SEED_S = 2.0
"""chosen: a start does not wait longer for a database; budgets then begin with what the stores know."""


async def seed_budgets(
    stores: Sequence[BudgetStore], policy: BudgetPolicy, reports: ReportStore, clock: Clock
) -> None:
    """Tell each store what this day and month have cost so far, where it does not know.

    Billed and assumed costs count alike. Does nothing without a budget for the whole installation, and raises
    nothing: the record may not be there yet.
    """
    now = clock.now()
    with contextlib.suppress(EventLogUnavailable, TimeoutError):
        async with asyncio.timeout(SEED_S):
            for account in policy.accounts(""):
                if account.name != "all":
                    continue
                report = await reports.report("cost", Question(since=account.begins_at(now), until=now))
                spent = Cost(usd_micros=report["spent_usd_micros"] + report["assumed_usd_micros"])
                for store in stores:
                    with contextlib.suppress(BudgetStoreUnavailable):
                        await store.seed(account.charge("", spent, now))
