"""Nothing is spent beyond what was granted: the price is reserved before the call and settled after it.

It stands between the circuit breaker and the attempt, so that a call which does not fit is no attempt and
leaves no intent. A process that dies in a call leaves its reservation behind: it counts as spent until the
period ends, as its intent does in the log. Calls per minute are kept here too, because a provider that has to
throttle us answers nobody for a while.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Generic

import msgspec

from orchestrator.errors import (
    BudgetExhausted,
    BudgetStoreUnavailable,
    ProviderHeldBack,
    RateLimitStoreUnavailable,
    StorageError,
)
from orchestrator.events import FREE, Cost
from orchestrator.facts import BudgetStopped, BudgetWarned
from orchestrator.model import AnswerT, Call, Found, RequestT
from orchestrator.outcome import bill
from orchestrator.ports import Balance, BudgetStore, Charge, Clock, FactSink, RateLimitStore, Window
from orchestrator.service import Service

MILLION = 1_000_000


class BudgetPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What may be spent, in millionths of a US dollar, in a UTC day or month; `None` is no limit.

    The first two are for the whole installation, the next two for each client by itself.
    `units_per_month` limits a provider in its own unit (credits, tokens), `calls_per_minute` how often it is
    called; a provider that is not named there is not limited.
    """

    usd_micros_per_day: int | None = None
    usd_micros_per_month: int | None = None
    client_usd_micros_per_day: int | None = None
    client_usd_micros_per_month: int | None = None
    units_per_month: Mapping[str, float] = {}
    calls_per_minute: Mapping[str, int] = {}

    def accounts(self, provider: str) -> tuple[Account, ...]:
        """The accounts of a call to the provider; the name of a client's ends in `:`."""
        own = self.units_per_month.get(provider)
        limits = (
            ("all", "day", self.usd_micros_per_day),
            ("all", "month", self.usd_micros_per_month),
            (CLIENT, "day", self.client_usd_micros_per_day),
            (CLIENT, "month", self.client_usd_micros_per_month),
            (f"provider:{provider}", "month", None if own is None else round(own * MILLION)),
        )
        return tuple(Account(name, per, limit) for name, per, limit in limits if limit is not None)

    def window(self, provider: str) -> Window | None:
        """The calls per minute as a window of the limiter, `None` if they are not limited."""
        calls = self.calls_per_minute.get(provider)
        return None if calls is None else Window("minute", calls, 60.0)


CLIENT = "client:"
"""Begins the name of a client's account."""


class Account(msgspec.Struct, frozen=True):
    """A limit, in millionths, on what is spent per `day` or `month` (UTC)."""

    name: str
    per: str
    limit: int

    def charge(self, client: str, cost: Cost, now: float) -> Charge:
        """The cost on this account at a moment of epoch seconds."""
        begin = datetime.fromtimestamp(self.begins_at(now), UTC)
        if self.per == "day":
            period, end = f"{begin:%Y-%m-%d}", begin + timedelta(days=1)
        else:
            period, end = f"{begin:%Y-%m}", (begin + timedelta(days=32)).replace(day=1)
        return Charge(
            account=self.name + client if self.name == CLIENT else self.name,
            period=period,
            ends_at=end.timestamp(),
            limit=self.limit,
            amount=self.measure(cost),
        )

    def begins_at(self, now: float) -> float:
        """The beginning of the period that a moment lies in; both in epoch seconds."""
        today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return (today if self.per == "day" else today.replace(day=1)).timestamp()

    def measure(self, cost: Cost) -> int:
        """The cost in millionths of the account's unit."""
        return round(cost.amount * MILLION) if self.name.startswith("provider:") else cost.usd_micros


class BudgetFilter(Generic[RequestT, AnswerT]):
    """Reserves, calls, settles. `stores` are asked in order: a later one while those before are out of reach.

    While none is in reach calls pass: their price is in the log all the same.
    """

    def __init__(
        self,
        provider: str,
        clock: Clock,
        facts: FactSink,
        estimate: Callable[[RequestT], Cost],
        *,
        stores: Sequence[BudgetStore],
        rate_limits: RateLimitStore,
        policy: BudgetPolicy,
    ) -> None:
        self._provider = provider
        self._clock = clock
        self._facts = facts
        self._estimate = estimate
        self._stores = tuple(stores)
        self._rate_limits = rate_limits
        self._accounts = policy.accounts(provider)
        self._window = policy.window(provider)

    async def __call__(
        self, call: Call[RequestT], service: Service[RequestT, Found[AnswerT]]
    ) -> Found[AnswerT]:
        """Answer as the provider does.

        Raises without calling it: ProviderHeldBack, or BudgetExhausted if it is the caller's own budget.
        """
        await self._keep_pace()
        estimate = self._estimate(call.request)
        if estimate == FREE or not self._accounts:
            return await service(call)
        client = call.principal.client if call.principal else ""
        now = self._clock.now()
        charges = tuple(account.charge(client, estimate, now) for account in self._accounts)
        store = await self._reserve(charges, now)
        try:
            found = await service(call)
        except BaseException as error:
            # An intent that could not be written was followed by no call.
            billed, assumed = (FREE, FREE) if isinstance(error, StorageError) else bill(error, estimate)
            await self._settle(store, charges, billed + assumed)
            raise
        await self._settle(store, charges, found.cost)
        return found

    async def _keep_pace(self) -> None:
        if self._window is None:
            return
        try:
            verdict = await self._rate_limits.hit(f"provider:{self._provider}", (self._window,))
        except RateLimitStoreUnavailable:
            return
        if not verdict.allowed:
            raise ProviderHeldBack(
                f"{self._provider} was called as often as it may be in a minute.",
                provider=self._provider,
                reason="calls_per_minute",
                retry_after_s=verdict.retry_after_s,
                assumed=FREE,
            )

    async def _reserve(self, charges: Sequence[Charge], now: float) -> BudgetStore | None:
        """Where the charges were made, `None` if nowhere."""
        for store in self._stores:
            try:
                balances = await store.reserve(charges)
            except BudgetStoreUnavailable:
                continue
            refused = None
            for charge, balance in zip(charges, balances, strict=True):
                self._tell(charge, balance)
                refused = charge if balance.is_refused else refused
            if refused is not None:
                raise self._refusal(refused, now)
            return store
        return None

    def _tell(self, charge: Charge, balance: Balance) -> None:
        if not balance.mark:
            return
        fields: dict[str, Any] = {
            "account": charge.account,
            "period": charge.period,
            "spent": balance.spent,
            "limit": charge.limit,
        }
        is_stop = balance.mark == 100
        event = BudgetStopped(**fields) if is_stop else BudgetWarned(percent=balance.mark, **fields)
        self._facts.record_fact(f"budget:{charge.account}", event)

    def _refusal(self, charge: Charge, now: float) -> BudgetExhausted | ProviderHeldBack:
        wait_s = charge.ends_at - now
        if charge.account.startswith(CLIENT):
            return BudgetExhausted(f"Your budget for {charge.period} is spent.", retry_after_s=wait_s)
        return ProviderHeldBack(
            f"A call to {self._provider} does not fit into what is left of the budget for {charge.period}.",
            provider=self._provider,
            reason="budget",
            retry_after_s=wait_s,
            assumed=FREE,
        )

    async def _settle(self, store: BudgetStore | None, charges: Sequence[Charge], cost: Cost) -> None:
        """Correct the reservation. One that cannot be corrected stays: rather too much is counted."""
        corrections = [
            msgspec.structs.replace(charge, amount=account.measure(cost) - charge.amount)
            for account, charge in zip(self._accounts, charges, strict=True)
        ]
        if store is not None and any(correction.amount for correction in corrections):
            with contextlib.suppress(BudgetStoreUnavailable):
                await store.settle(corrections)
