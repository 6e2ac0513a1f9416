"""Bounds the calls under way to one provider, by what it has shown that it can take.

Nobody knows beforehand how many calls at once a provider stands. So the bound begins small and grows with
each answer, as TCP finds the width of a path (RFC 5681): by leaps from round to round until the provider is
seen to suffer, from there on by one a round; being throttled or a timeout takes it back by a third. Of a
provider that is dead from the start no more calls hang than the bound begins with.

It stands outside the circuit breaker and the budget: who waits for a place holds no price reserved, and the
breaker judges a call when its turn has come, not when it joined the queue. It stands inside the retry, since
who waits for a retry calls nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping

import msgspec

from orchestrator.errors import ProviderHeldBack, ProviderThrottled, ProviderTimeout
from orchestrator.events import FREE
from orchestrator.model import Call, RequestT
from orchestrator.outcome import BUSY, CUT_SHORT
from orchestrator.ports import Clock
from orchestrator.service import ResponseT, Service


class ProviderRoomPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How many calls may be under way to one provider in one process.

    The bound is a number of calls, at first `calls_at_first`, never below 1 and never above `calls_max`:

    - an answer adds `growth_count` while at least half of the bound is in use and it is below the threshold,
      so with 3 there are four times as many in each round; above the threshold it adds `1 / bound`, so it
      grows by 1 a round;
    - a throttled call or a timeout multiplies it by `shrink_ratio` and makes that the threshold, once a
      round: calls that began before the last time say nothing new;
    - when the provider's circuit has opened, or nothing has ended for `idle_s`, it is `calls_at_first` at
      most: what was known of the provider is old (RFC 5681, 4.1, restarting idle connections).

    A call waits for a place in the order of arrival, at most `wait_ratio` of the time it has for this
    provider, and no more than `waiting_max` at once. Sources: `calls_at_first` is TCP's initial window
    (RFC 6928); `shrink_ratio` that of CUBIC (RFC 9438, 4.6). The others are chosen. TCP doubles, and has
    hundreds of rounds; a search has three of a second each before it must turn to the next provider, and ten
    answers say clearly enough that somebody is there. `calls_max` is the number of sockets to one provider,
    `waiting_max` four rounds of that, and half of the time is then left for the call itself.
    """

    calls_max: int = 256
    calls_at_first: int = 10
    growth_count: float = 3.0
    shrink_ratio: float = 0.7
    idle_s: float = 10.0
    waiting_max: int = 1_024
    wait_ratio: float = 0.5


class ProviderRooms(msgspec.Struct, frozen=True, kw_only=True):
    """The policy of each provider; `others` is for those that are not named."""

    named: Mapping[str, ProviderRoomPolicy] = {}
    others: ProviderRoomPolicy = ProviderRoomPolicy()

    def of(self, provider: str) -> ProviderRoomPolicy:
        """The provider's policy."""
        return self.named.get(provider, self.others)


class CallBound:
    """The bound by itself: pure arithmetic, told what happens and when (monotonic seconds)."""

    def __init__(self, policy: ProviderRoomPolicy, now: float) -> None:
        self._policy = policy
        self._first = float(min(policy.calls_at_first, policy.calls_max))
        self._bound = self._first
        self._threshold = float(policy.calls_max)
        self._shrunk_at = now
        self._heard_at = now

    @property
    def calls(self) -> int:
        """How many calls may be under way."""
        return int(self._bound)

    def began(self, now: float) -> None:
        """A call begins, and no other is under way."""
        if now - self._heard_at > self._policy.idle_s:
            self.restart()

    def answered(self, under_way: int, now: float) -> None:
        """A call was answered while so many were under way, itself included."""
        self._heard_at = now
        if 2 * under_way >= self.calls:
            if self._bound < self._threshold:
                self._bound = min(self._bound + self._policy.growth_count, self._threshold)
            else:
                self._bound = min(self._bound + 1.0 / self._bound, float(self._policy.calls_max))

    def suffered(self, began: float, now: float) -> None:
        """A call that began at that moment was throttled or timed out."""
        self._heard_at = now
        if began >= self._shrunk_at:
            self._bound = self._threshold = max(1.0, self._bound * self._policy.shrink_ratio)
            self._shrunk_at = now

    def restart(self) -> None:
        """What was known of the provider is old."""
        self._bound = min(self._bound, self._first)


class ProviderRoom:
    """The places at one provider, one room for all operations of a process.

    While the provider's circuit `is_open` nobody waits: the breaker further in refuses at once, and lets no
    more than a probe pass, and calls of last resort, of which there are no more at once than calls at first.
    `let_go` is to be called when it opens.
    """

    def __init__(
        self, provider: str, clock: Clock, policy: ProviderRoomPolicy, is_open: Callable[[], bool]
    ) -> None:
        self.calls = 0
        """Calls under way."""
        self._provider = provider
        self._clock = clock
        self._policy = policy
        self._is_open = is_open
        self._first = min(policy.calls_at_first, policy.calls_max)
        self._bound = CallBound(policy, clock.monotonic())
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def calls_max(self) -> int:
        """How many may be under way at the moment."""
        return self._bound.calls

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._queue)

    @property
    def has_place(self) -> bool:
        """Whether a call need not wait. While one waits there is none: each that comes free is given away."""
        return self.calls < self._bound.calls or self._is_open()

    async def __call__(self, call: Call[RequestT], service: Service[RequestT, ResponseT]) -> ResponseT:
        """Answer as the inner stages do. Waits for a place; raises ProviderHeldBack (`busy`) without one."""
        if call.is_last_resort and self._is_open() and self.calls >= self._first:
            raise self._refusal()  # the breaker lets it pass, so there is no other bound
        if self.has_place:
            self._take()
        else:
            await self._wait(call)
        began = self._clock.monotonic()
        try:
            response = await service(call)
        except (ProviderThrottled, ProviderTimeout) as error:
            if error.reason != CUT_SHORT:
                self._bound.suffered(began, self._clock.monotonic())
            raise
        else:
            self._bound.answered(self.calls, self._clock.monotonic())
            return response
        finally:
            self._give_back()

    def let_go(self) -> None:
        """The circuit has opened: whoever waits goes on to hear so, and what the bound was is no more."""
        self._bound.restart()
        while self._queue:
            self._call_in()

    async def _wait(self, call: Call[RequestT]) -> None:
        """Wait for a place, and take it."""
        patience_s = (call.deadline - self._clock.monotonic()) * self._policy.wait_ratio
        if patience_s <= 0 or len(self._queue) >= self._policy.waiting_max:
            raise self._refusal()
        place = asyncio.get_running_loop().create_future()
        self._queue.append(place)
        try:
            async with asyncio.timeout(patience_s):
                await place
        except BaseException as error:
            if place.cancelled():
                with contextlib.suppress(ValueError):  # its turn may have come meanwhile
                    self._queue.remove(place)
            else:  # it got the place in the moment in which it gave up
                self._give_back()
            if isinstance(error, TimeoutError):
                raise self._refusal() from None
            raise

    def _take(self) -> None:
        if not self.calls:
            self._bound.began(self._clock.monotonic())
        self.calls += 1

    def _give_back(self) -> None:
        self.calls -= 1
        while self._queue and self.calls < self._bound.calls:
            self._call_in()

    def _call_in(self) -> None:
        """Give a place to the one who has waited longest, unless that has just given up."""
        place = self._queue.popleft()
        if not place.done():
            self.calls += 1
            place.set_result(None)

    def _refusal(self) -> ProviderHeldBack:
        return ProviderHeldBack(
            f"As many calls to {self._provider} are under way as it can take at the moment.",
            provider=self._provider,
            reason=BUSY,
            assumed=FREE,
        )
