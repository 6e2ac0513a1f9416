"""Fetches answers that are often asked for ahead of their callers, gently and within a sum of money.

Each search is an execution without a caller: its cost is in the ledger under the client `warming`, and no
figure about callers counts it. It goes through the flights as a caller's would, so nobody pays twice for what
is asked meanwhile. It never spends what callers may need: a run ends when the first provider does not answer,
because the others would then be worn out for nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec

from orchestrator.errors import (
    BudgetExhausted,
    CacheUnavailable,
    CannotWarm,
    EventLogUnavailable,
    FlightStoreUnavailable,
    GatewayError,
    StorageError,
)
from orchestrator.events import (
    FREE,
    AttemptStarted,
    AttemptSucceeded,
    Cost,
    ProviderSkipped,
    RefreshStarted,
)
from orchestrator.facts import WarmingFinished
from orchestrator.filters.circuit_breaker import Circuit
from orchestrator.history import WARMING, assumed, has_refreshed, spent
from orchestrator.model import CacheControl, Call, Caller, SearchRequest
from orchestrator.pipeline import Pipeline
from orchestrator.ports import Cache, CacheEntry, FlightStore
from orchestrator.principals import Principal
from orchestrator.recorder import ExecutionTrail, Recorder
from orchestrator.warming_plan import Asked, AskedStore, WarmingPolicy, ranked

RENEW_S = 0.5
"""chosen: a third of the lease, as in the flights of searches."""

NOT_KEPT = (
    "Texts of queries are not kept (AMOS_STORE_QUERY_TEXT is false), so nobody knows what to ask again."
)

_CALLER = Caller(door=WARMING, cache_control=CacheControl(no_cache=True))
_PRINCIPAL = Principal(client=WARMING, is_unlimited=True)


class Warmed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one candidate.

    `outcome`: `warmed`, `failed`, `fresh` (left alone), `unknown` (nobody knows what to ask), or in a
    rehearsal `due`, then `cost` is the most it may cost. `age_s` and `left_s` are those of the answer that
    was found, `None` if there was none; what is left of an old one is negative. `error` is a failure's code.
    """

    key: str
    text: str | None
    calls: int
    outcome: str
    age_s: float | None = None
    left_s: float | None = None
    error: str = ""
    cost: Cost = FREE


Tell = Callable[[Warmed, int], None]
"""Is told what became of a candidate, and how many candidates there are."""


class Warming:
    """Warms the cache of one process, and by that the shared one; of several processes one at a time.

    `warming` is the client and the door of its executions, the stream of its facts, and the key of its lease.

    Its answers are those of the pipeline, which must keep them in `caches`. `asked` is what the record knows.
    Without `flights` this process is the only one. `policy` is that of runs which are given no other.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        recorder: Recorder,
        caches: Sequence[Cache],
        asked: AskedStore,
        policy: WarmingPolicy,
        *,
        flights: FlightStore | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.asked = asked
        self.policy = policy
        self._pipeline = pipeline
        self._caches = tuple(caches)
        self._recorder = recorder
        self._clock = recorder.clock
        self._flights = flights
        self._chance = chance
        self._is_running = False

    @property
    def _first(self) -> Circuit | None:
        """The circuit of the first provider, `None` if there is no provider."""
        return next(iter(self._pipeline.circuits.values()), None)

    async def run(
        self,
        policy: WarmingPolicy,
        *,
        cause: str,
        until: float = math.inf,
        tell: Tell | None = None,
    ) -> WarmingFinished:
        """Warm until it is done, the money is spent, or the moment `until` (epoch seconds) has come.

        Raises CannotWarm, EventLogUnavailable. Cancelling it waits for the searches under way, within their
        deadline, and records how far it came.
        """
        async with self._turn():
            run = _Run(await self.candidates(policy), policy, self._clock.monotonic(), until, tell)
            try:
                await self._work(run)
            except BaseException:
                run.ended_by = "cancelled"
                raise
            finally:
                finished = run.finished(cause, self._clock.monotonic())
                self._recorder.record_fact(f"warming:{finished.cause}", finished)
        return finished

    async def rehearse(self, policy: WarmingPolicy) -> list[Warmed]:
        """What a run would do now, without doing it. Raises CannotWarm, EventLogUnavailable."""
        lines = []
        for one in await self.candidates(policy):
            found = await self._look(one, policy)
            request = one.request()
            if found.outcome == "due" and request is not None:
                found = msgspec.structs.replace(found, cost=Cost(usd_micros=self._pipeline.price(request)))
            lines.append(found)
        return lines

    async def candidates(self, policy: WarmingPolicy) -> list[Asked]:
        """What is asked most, best first. Raises CannotWarm, EventLogUnavailable."""
        if not self._recorder.keeps_texts:
            raise CannotWarm(NOT_KEPT)
        now = self._clock.now()
        return ranked(await self.asked.most_asked(now - policy.window_s, now, policy.top), policy)

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Be the only one that warms. Raises CannotWarm."""
        if self._is_running:
            raise CannotWarm("The cache is being warmed already.")
        self._is_running = True
        holder = f"{self._recorder.journal.instance}:{secrets.token_hex(8)}"
        renewal: asyncio.Task[None] | None = None
        try:
            if self._flights is not None:
                await _claim(self._flights, holder)
                renewal = asyncio.create_task(self._renew(self._flights, holder), name="lease of warming")
            yield
        finally:
            self._is_running = False
            if renewal is not None and self._flights is not None:
                renewal.cancel()
                await asyncio.wait([renewal])
                with contextlib.suppress(FlightStoreUnavailable):
                    await self._flights.land(WARMING, holder, None)

    async def _renew(self, flights: FlightStore, holder: str) -> None:
        """Keep the lease until cancelled. Who loses it goes on: nobody fetches again what is fresh."""
        while True:
            await self._clock.sleep(RENEW_S)
            with contextlib.suppress(FlightStoreUnavailable):
                await flights.renew(WARMING, holder)

    @property
    def _state(self) -> str:
        first = self._first
        return "closed" if first is None else first.state

    async def _work(self, run: _Run) -> None:
        # A circuit that is not closed may be ready for a probe: then the first search is that, alone.
        lanes_count = run.policy.lanes if self._state == "closed" else 1
        async with asyncio.TaskGroup() as lanes:
            for _ in range(lanes_count):
                lanes.create_task(self._lane(run), name="lane of warming")

    async def _lane(self, run: _Run) -> None:
        """Take one candidate after the other until none is left or the run has ended."""
        while (one := self._next(run)) is not None:
            found = await self._look(one, run.policy)
            request = one.request()
            if found.outcome != "due" or request is None:
                run.note(found)
                continue
            price = self._pipeline.price(request)
            if run.spent.usd_micros + run.reserved + price > run.policy.usd_micros_max:
                run.end("budget")
                return
            run.reserved += price
            try:
                await self._warm(run, request, found)
            finally:
                run.reserved -= price
            await self._clock.sleep(run.policy.pause_s * (0.5 + self._chance()))

    def _next(self, run: _Run) -> Asked | None:
        """The next candidate, unless the run has ended or ends now."""
        if self._clock.now() >= run.until:
            run.end("time")
        elif self._first is not None and self._state != "closed" and self._first.retry_after_s > 0:
            run.end("provider")
        return run.waiting.popleft() if run.waiting and not run.ended_by else None

    async def _look(self, one: Asked, policy: WarmingPolicy) -> Warmed:
        """Whether it is due, fresh or unknown."""
        now = self._clock.now()
        entry = await self._newest(one.key)
        outcome = "due" if policy.is_due(entry, now) else "fresh"
        return Warmed(
            key=one.key,
            text=one.text,
            calls=one.calls,
            outcome="unknown" if one.request() is None else outcome,
            age_s=None if entry is None else now - entry.stored_at,
            left_s=None if entry is None else entry.fresh_until - now,
        )

    async def _newest(self, key: str) -> CacheEntry | None:
        """The answer that is fresh for longest, of any tier; a tier out of reach has none."""
        found = []
        for cache in self._caches:
            with contextlib.suppress(CacheUnavailable):
                if (entry := await cache.get(key)) is not None:
                    found.append(entry)
        return max(found, key=lambda entry: entry.fresh_until, default=None)

    async def _warm(self, run: _Run, request: SearchRequest, found: Warmed) -> None:
        """Fetch one answer: an execution whose first word is RefreshStarted, and which has no last one."""
        trail = self._recorder.open()
        trail.record(RefreshStarted(key=found.key, cause=WARMING, age_s=found.age_s or 0.0))
        call = Call(
            request=request,
            caller=_CALLER,
            trail=trail,
            deadline=self._clock.monotonic() + self._pipeline.deadline_s,
            is_refresh=True,
            principal=_PRINCIPAL,
            cache_key=found.key,
        )
        error: Exception | None = None
        try:
            await self._see_through(call)
        except Exception as failure:  # noqa: BLE001 - a fault in one search must not have all others paid again
            error = failure
        finally:
            # Also if it was cancelled: what was paid for is in the record and in the ledger of this run.
            run.note(_outcome(found, trail, error))
            await self._commit(run, trail)
        self._judge(run, trail, error)

    async def _see_through(self, call: Call[SearchRequest]) -> None:
        """Fetch, and leave only when it is over: the flight would go on without anybody to record its end."""
        flight = asyncio.ensure_future(self._pipeline.refresh(call))
        try:
            await asyncio.shield(flight)
        except asyncio.CancelledError:
            await asyncio.wait({flight})
            raise

    async def _commit(self, run: _Run, trail: ExecutionTrail) -> None:
        try:
            await trail.commit()
        except EventLogUnavailable:
            run.end("record")

    def _judge(self, run: _Run, trail: ExecutionTrail, error: Exception | None) -> None:
        """End the run if going on would only spend the time, the money or the patience of others."""
        first = "" if self._first is None else self._first.provider
        events: list[Any] = [envelope.event for envelope in trail.events]
        skips = {event.reason for event in events if _is_skip(event, first)}
        if isinstance(error, BudgetExhausted) or "budget" in skips:
            run.end("budget")
        elif isinstance(error, StorageError):
            run.end("record")
        answered = any(isinstance(event, AttemptSucceeded) and event.provider == first for event in events)
        has_called = any(isinstance(event, AttemptStarted | ProviderSkipped) for event in events)
        run.lost = run.lost + 1 if has_called and not answered else 0
        if run.lost >= run.policy.lost_max:
            run.end("provider")


class _Run:
    """How far one run has come."""

    def __init__(
        self,
        candidates: Sequence[Asked],
        policy: WarmingPolicy,
        begun: float,
        until: float,
        tell: Tell | None,
    ) -> None:
        self.waiting = deque(candidates)
        self.policy = policy
        self.until = until
        self.ended_by = ""
        self.reserved = 0
        self.spent = FREE
        self.lost = 0
        self._total = len(candidates)
        self._begun = begun
        self._tell = tell
        self._counts = dict.fromkeys(("warmed", "fresh", "failed", "unknown"), 0)

    def end(self, ended_by: str) -> None:
        """End for this reason, unless it has ended already."""
        self.ended_by = self.ended_by or ended_by

    def note(self, one: Warmed) -> None:
        """One candidate is done with."""
        self._counts[one.outcome] += 1
        self.spent += one.cost
        if self._tell is not None:
            self._tell(one, self._total)

    def finished(self, cause: str, now: float) -> WarmingFinished:
        """The fact about all of it."""
        return WarmingFinished(
            cause=cause,
            ended_by=self.ended_by or "done",
            candidates=self._total,
            warmed=self._counts["warmed"],
            skipped=self._counts["fresh"],
            failed=self._counts["failed"],
            unknown=self._counts["unknown"],
            cost=self.spent,
            duration_s=now - self._begun,
        )


async def _claim(flights: FlightStore, holder: str) -> None:
    try:
        leader = await flights.claim(WARMING, holder)
    except FlightStoreUnavailable as error:
        raise CannotWarm("What the instances share is out of reach; each would warm for itself.") from error
    if leader != holder:
        raise CannotWarm("The cache is being warmed already, by another instance.")


def _outcome(found: Warmed, trail: ExecutionTrail, error: Exception | None) -> Warmed:
    """What became of a candidate that was due. An answer that is not worth keeping is a failure here."""
    is_warm = error is None and has_refreshed(trail.events)
    return msgspec.structs.replace(
        found,
        outcome="warmed" if is_warm else "failed",
        error="" if error is None else error.code if isinstance(error, GatewayError) else "internal_error",
        cost=spent(trail.events) + assumed(trail.events),
    )


def _is_skip(event: object, provider: str) -> bool:
    return isinstance(event, ProviderSkipped) and event.provider == provider
