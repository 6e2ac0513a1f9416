"""Several keys for one provider, used up one after the other.

The first key that works is used for every call. One that its plan has drained, that is refused or throttled
rests for its time, and the same call goes on with the next: a refusal is free and not the provider's failure,
so it is no attempt of its own. Only when no key is left does the provider refuse. Keys are drained in the
order in which they are set, so that an operator knows which plan is spent first; spreading the calls would
drain all of them at the same time.

Each process finds out by itself that a key is drained; that costs it one free refusal. No key is in an event,
error or log: a key is known by its number in the settings, from 1.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from orchestrator.errors import ProviderError, ProviderQuotaExceeded, ProviderRejected, ProviderThrottled
from orchestrator.events import FREE
from orchestrator.facts import ProviderKeyRested
from orchestrator.ports import Clock, FactSink

KEY_REFUSED = "key_refused"
"""The `reason` with which a provider says that it does not know the key, or has suspended its account."""

T = TypeVar("T")


class KeyRestPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """For how long a key is not used when the provider named no time (`Retry-After`) of its own, in seconds.

    Chosen: no provider says when a quota resets, and only an operator mends a key that is refused, so both
    are looked at again every hour; providers count by the minute, of which some seconds free some calls. When
    no key is left the provider is left alone for `again_s` at least: the rest of one may just have ended.
    """

    drained_s: float = 3_600.0
    refused_s: float = 3_600.0
    throttled_s: float = 5.0
    again_s: float = 1.0

    def rest_s(self, refusal: ProviderError) -> float | None:
        """How long a key rests after this; `None` if the refusal is not about the key."""
        if isinstance(refusal, ProviderQuotaExceeded):
            return refusal.retry_after_s or self.drained_s
        if isinstance(refusal, ProviderThrottled):
            return refusal.retry_after_s or self.throttled_s
        if isinstance(refusal, ProviderRejected) and refusal.reason == KEY_REFUSED:
            return self.refused_s
        return None


class _Rest(msgspec.Struct, frozen=True):
    until: float
    refusal: ProviderError


class KeyPool:
    """The keys of one provider in one process; one key alone never rests, its circuit sees to that.

    `facts` is told when a key begins to rest; without it nobody is.
    """

    policy = KeyRestPolicy()

    def __init__(
        self, provider: str, keys: Sequence[str], clock: Clock, facts: FactSink | None = None
    ) -> None:
        self._provider = provider
        self._authorizations = tuple(f"Bearer {key}" for key in keys)
        self._clock = clock
        self._facts = facts
        self._rests: dict[int, _Rest] = {}

    async def call(self, ask: Callable[[str], Awaitable[T]]) -> T:
        """What `ask` gives with the first key that works; it is handed the value of `Authorization`.

        Raises what it raises, and the refusal of the key that is back first if none is left.
        """
        if len(self._authorizations) == 1:
            return await ask(self._authorizations[0])
        for number, authorization in enumerate(self._authorizations, start=1):
            if self._left_s(number) > 0:
                continue
            try:
                return await ask(authorization)
            except ProviderError as refusal:
                rest_s = self.policy.rest_s(refusal)
                if rest_s is None:
                    raise
                self._rest(number, rest_s, refusal)
        raise self._none_left()

    async def call_with(self, is_own: Callable[[str], bool], ask: Callable[[str], Awaitable[T]]) -> T:
        """What `ask` gives with the key that something was begun with; with any if that key is gone.

        Another key of the same account may do as well. A key that rests is asked too: what it was drained of
        is not needed for looking.
        """
        for authorization in self._authorizations:
            if is_own(authorization):
                return await ask(authorization)
        return await self.call(ask)

    def _left_s(self, number: int) -> float:
        rest = self._rests.get(number)
        return 0.0 if rest is None else max(0.0, rest.until - self._clock.monotonic())

    def _rest(self, number: int, rest_s: float, refusal: ProviderError) -> None:
        """Let the key rest. Of several calls that were refused together, for one reason, one says so."""
        left_s = self._left_s(number)
        if rest_s <= left_s:
            return
        is_news = not left_s or self._rests[number].refusal.reason != refusal.reason
        if is_news and self._facts is not None:
            event = ProviderKeyRested(
                provider=self._provider, key_number=number, reason=refusal.reason, rest_s=rest_s
            )
            self._facts.record_fact(f"provider:{self._provider}", event)
        self._rests[number] = _Rest(self._clock.monotonic() + rest_s, refusal)

    def _none_left(self) -> ProviderError:
        first = min(self._rests, key=self._left_s)
        refusal = self._rests[first].refusal
        return type(refusal)(
            f"{self._provider} refuses each of our {len(self._authorizations)} keys.",
            provider=self._provider,
            reason=refusal.reason,
            retry_after_s=max(self._left_s(first), self.policy.again_s),
            assumed=FREE,
        )
