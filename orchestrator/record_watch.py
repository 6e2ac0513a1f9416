"""What the database says of itself and of the providers lately, for whoever asks how AMOS is, without a wait.

Health must be told when nothing else works, so nobody waits here for a database that is slow or gone: a look
goes on in the background, and who asks gets what the last one saw, or learns that this one hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.budget_audit import spent_on
from orchestrator.budget_policy import Account, BudgetPolicy
from orchestrator.errors import GatewayError
from orchestrator.ports import Clock, ReportStore
from orchestrator.reports.report import Question
from orchestrator.reports.totals import Standing

FRESH_S = 5.0
"""chosen: what was seen so lately is shown again; who asks every second costs the database little."""

WAIT_S = 0.03
"""chosen: three times what a look takes; health has 50 ms."""

SLOW_S = 2.0
"""chosen: a database that has not answered for so long is out of reach for whoever waits for it."""

RECENT_S = 900.0
"""chosen: a quarter of an hour has enough calls to judge a provider by, and ends soon after its trouble."""


CALLS_MIN = 10
"""chosen: of fewer calls nobody can say that a provider fails often."""

RATIO_MIN = 0.5
"""chosen: a provider that fails more often than not costs most calls a fallback."""


class Recent(NamedTuple):
    """The calls to a provider of the last `RECENT_S`, and the share that succeeded, `None` of none.

    `since` is when it was first seen to fail often, or to do so no longer; epoch seconds.
    """

    calls: int
    success_ratio: float | None
    since: float

    @property
    def fails_often(self) -> bool:
        """Whether it fails more often than not."""
        return self.calls >= CALLS_MIN and (self.success_ratio or 0.0) < RATIO_MIN


NEAR_PERCENT = 90
"""chosen: the last mark at which budgets warn; what is left may be gone within the hour."""


class Spending(NamedTuple):
    """What is spent of an account of the installation or of a provider, in millionths of its unit.

    `since` is when it was first seen near its limit, or no longer; epoch seconds.
    """

    account: Account
    spent: int
    since: float

    @property
    def is_near(self) -> bool:
        """Whether little is left, or nothing."""
        return self.spent * 100 >= self.account.limit * NEAR_PERCENT


class Seen(NamedTuple):
    """What the last look saw. `fault` says why the database is out of reach, `""` if it is not.

    `since` is when it got that way, epoch seconds; `latency_s` how long the last answer took. The others are
    the newest that are known: `None` and nothing before the first answer.
    """

    since: float
    fault: str = ""
    latency_s: float | None = None
    standing: Standing | None = None
    providers: Mapping[str, Recent] = {}
    spendings: tuple[Spending, ...] = ()


class RecordWatch:
    """Looks when asked, at most every `FRESH_S`, one look at a time. Close it with `aclose`."""

    def __init__(self, reports: ReportStore, clock: Clock, budget: BudgetPolicy) -> None:
        self._reports = reports
        self._accounts = (*budget.of_all, *budget.of_providers)
        self._clock = clock
        self._seen = Seen(clock.now())
        self._task: asyncio.Task[None] | None = None
        self._begun_at = -FRESH_S  # monotonic, as all that is subtracted

    async def look(self) -> Seen:
        """What is known now; waits for `WAIT_S` at most."""
        if self._task is None and self._clock.monotonic() - self._begun_at >= FRESH_S:
            self._begun_at = self._clock.monotonic()
            self._task = asyncio.create_task(self._ask(), name="look at the database")
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=WAIT_S)
        return self._seen

    async def aclose(self) -> None:
        """Give up a look that is under way."""
        if (task := self._task) is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _ask(self) -> None:
        slow = asyncio.get_running_loop().call_later(SLOW_S, self._note, "It does not answer in time.")
        try:
            standing = await self._reports.standing()
            latency_s = self._clock.monotonic() - self._begun_at
            providers = await self._recent()
            spendings = [await self._spent(account) for account in self._accounts]
        except GatewayError as error:
            self._note(error.message)
        except Exception as error:  # noqa: BLE001 - health tells of a bug in a report, and goes on
            self._note(f"Unexpected error ({type(error).__name__}).")
        else:
            self._note("", latency_s)
            self._seen = self._seen._replace(
                standing=standing, providers=providers, spendings=tuple(spendings)
            )
        finally:
            slow.cancel()
            self._task = None

    def _note(self, fault: str, latency_s: float | None = None) -> None:
        has_changed = bool(fault) != bool(self._seen.fault)
        since = self._clock.now() if has_changed else self._seen.since
        self._seen = self._seen._replace(fault=fault, since=since, latency_s=latency_s)

    async def _recent(self) -> dict[str, Recent]:
        now = self._clock.now()
        report = await self._reports.report("health", Question(since=now - RECENT_S, until=now))
        found = {}
        for row in report.get("providers", ()):
            recent = Recent(row["calls"], row["success_ratio"], now)
            known = self._seen.providers.get(row["provider"])
            if known is not None and known.fails_often == recent.fails_often:
                recent = recent._replace(since=known.since)
            found[row["provider"]] = recent
        return found

    async def _spent(self, account: Account) -> Spending:
        now = self._clock.now()
        report = await self._reports.report("cost", Question(since=account.begins_at(now), until=now))
        found = Spending(account, spent_on(account, report), now)
        known = next((one for one in self._seen.spendings if one.account == account), None)
        if known is not None and known.is_near == found.is_near:
            return found._replace(since=known.since)
        return found
