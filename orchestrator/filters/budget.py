"""Nothing is spent beyond what was granted: the price is reserved before the call and settled after it.

It stands between the circuit breaker and the attempt, so that a call which does not fit is no attempt and
leaves no intent. It settles what the attempt has recorded, so that the count and the ledger, which is a fold
over the same facts, agree. A process that dies in a call leaves its reservation behind: it counts as spent
until the period ends, as its intent does in the log. Calls per minute are kept here too, because a provider
that has to throttle us answers nobody for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Generic

from orchestrator.budget_policy import CLIENT, Account, BudgetPolicy, corrections, usd
from orchestrator.budget_ports import Charge
from orchestrator.cashier import Cashier
from orchestrator.errors import BudgetExhausted, ProviderHeldBack, RateLimitStoreUnavailable
from orchestrator.events import FREE, AttemptFailed, AttemptStarted, AttemptSucceeded, Cost, Envelope
from orchestrator.model import AnswerT, Call, Found, RequestT
from orchestrator.ports import Clock, RateLimitStore
from orchestrator.quota import Verdict
from orchestrator.service import Service

WAIT_RATIO_MAX = 0.25
"""chosen: of the time a provider has, a quarter at most is spent waiting for its minute to allow a call."""


class BudgetFilter(Generic[RequestT, AnswerT]):
    """Reserves, waits for the provider's pace, calls, settles."""

    def __init__(
        self,
        provider: str,
        clock: Clock,
        estimate: Callable[[RequestT], Cost],
        *,
        cashier: Cashier | None,
        rate_limits: RateLimitStore,
        policy: BudgetPolicy,
    ) -> None:
        self._provider = provider
        self._clock = clock
        self._estimate = estimate
        self._cashier = cashier
        self._rate_limits = rate_limits
        self._accounts = policy.accounts(provider)
        self._window = policy.window(provider)
        self._wait_s_max = policy.wait_s
        self._waiting = 0

    async def __call__(
        self, call: Call[RequestT], service: Service[RequestT, Found[AnswerT]]
    ) -> Found[AnswerT]:
        """Answer as the provider does.

        Raises without calling it: ProviderHeldBack, or BudgetExhausted if it is the caller's own budget.
        """
        estimate = self._estimate(call.request)
        if estimate == FREE or not self._accounts or self._cashier is None:
            await self._keep_pace(call)
            return await service(call)
        client = call.principal.client if call.principal else ""
        now = self._clock.now()
        charges = tuple(account.charge(client, estimate, now) for account in self._accounts)
        verdict = await self._cashier.reserve(charges)
        if verdict.refused is not None:
            raise self._refusal(self._accounts[charges.index(verdict.refused)], verdict.refused, now)
        begun: int | None = None
        try:
            # After the money, so that who may not spend any more takes no room from those who may.
            await self._keep_pace(call)
            # The attempt begins with no wait in between, so the first one from here on is this call's own,
            # whatever else its execution does at the same time.
            begun = len(call.trail.events)
            return await service(call)
        finally:
            if verdict.is_made:
                cost = FREE if begun is None else _bill(call.trail.events[begun:])
                await self._cashier.settle(
                    corrections(self._accounts, charges, client, cost, self._clock.now())
                )

    async def _keep_pace(self, call: Call[RequestT]) -> None:
        """Wait if the minute allows another call soon, else hold the provider back."""
        verdict = await self._hit()
        if verdict is not None and not verdict.allowed and self._may_wait(call, verdict):
            self._waiting += 1
            try:
                await self._clock.sleep(verdict.retry_after_s)
            finally:
                self._waiting -= 1
            verdict = await self._hit()
        if verdict is not None and not verdict.allowed:
            raise ProviderHeldBack(
                f"{self._provider} was called as often as it may be in a minute.",
                provider=self._provider,
                reason="calls_per_minute",
                retry_after_s=verdict.retry_after_s,
                assumed=FREE,
            )

    async def _hit(self) -> Verdict | None:
        """What the limiter says to one more call; `None` if nobody limits or nobody knows."""
        if self._window is None:
            return None
        try:
            return await self._rate_limits.hit(f"provider:{self._provider}", (self._window,))
        except RateLimitStoreUnavailable:
            return None

    def _may_wait(self, call: Call[RequestT], verdict: Verdict) -> bool:
        """Whether it is soon, in time, and not behind others for whom there will be no room either."""
        left_s = (call.deadline - self._clock.monotonic()) * WAIT_RATIO_MAX
        room = max(1, round(verdict.window.quota * self._wait_s_max / verdict.window.period_s))
        return verdict.retry_after_s <= min(self._wait_s_max, left_s) and self._waiting < room

    def _refusal(self, account: Account, charge: Charge, now: float) -> BudgetExhausted | ProviderHeldBack:
        wait_s = max(0.0, charge.ends_at - now)
        if account.name == CLIENT:
            until = datetime.fromtimestamp(charge.ends_at, UTC)
            return BudgetExhausted(
                f"This call does not fit into what is left of your budget of {usd(charge.limit)} "
                f"USD for {charge.period} (UTC). A new one begins at {until:%Y-%m-%dT%H:%M:%SZ}.",
                retry_after_s=wait_s,
            )
        whose = f"the {account.unit} of {self._provider}" if account.is_of_provider else "the budget"
        return ProviderHeldBack(
            f"A call to {self._provider} does not fit into what is left of {whose} for {charge.period}.",
            provider=self._provider,
            reason="budget",
            retry_after_s=wait_s,
            assumed=FREE,
        )


def _bill(events: Sequence[Envelope]) -> Cost:
    """What the log says the attempt cost whose intent is the first of these events; nothing without one.

    The others may be of further attempts of the same execution. One without an outcome, as one that is cut
    off by a bug, costs its estimate in the ledger too.
    """
    intent = events[0].event if events else None
    if not isinstance(intent, AttemptStarted):
        return FREE
    whose = intent.provider, intent.number
    for event in (envelope.event for envelope in events):
        match event:
            case AttemptSucceeded() | AttemptFailed() as ended if (ended.provider, ended.number) == whose:
                return ended.cost + ended.assumed
            case _:
                pass
    return intent.estimate
