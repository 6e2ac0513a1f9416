"""Whole histories drawn at random: plausible executions, and the odd ones that crashes and clocks leave.

    history = RandomHistories(random.Random(3)).frames(200)

Under hypothesis the source is `st.randoms(use_true_random=False)`, and a failure is made small.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

import msgspec

from orchestrator.events import (
    FREE,
    AttemptFailed,
    AttemptHedged,
    AttemptStarted,
    AttemptSucceeded,
    CacheHit,
    CacheMissed,
    CallerAuthenticated,
    Cost,
    Envelope,
    Event,
    FlightJoined,
    Frame,
    ProviderSkipped,
    RequestCompleted,
    RequestFailed,
    RequestReceived,
    RequestThrottled,
    ResultCached,
    ResultRejected,
    RetryScheduled,
)
from orchestrator.facts import (
    CallersRefused,
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
    InstanceStarted,
    ProviderKeyRested,
)
from orchestrator.relays import OPERATIONS, RELAYED
from tests.support.histories import NOON

SPREAD_S = 60 * 60 * 24 * 3
"""Histories begin within so many seconds after noon: several days, hours and minutes."""

PROVIDERS = ("tavily", "jina", "local")
UNITS = {"tavily": "credits", "jina": "tokens", "local": ""}
CLIENTS = ("local-operator", "acme", "büro", "")
ERRORS = (
    *("all_providers_failed", "deadline_exceeded", "rate_limited", "invalid_request", "cancelled"),
    *("budget_exhausted", "internal_error", "not_in_cache"),
)
JUDGEMENTS = (
    ("retryable", "http_500"),
    ("retryable", "timeout"),
    ("final", "quota"),
    ("ignorable", "cancelled"),
)
DURATIONS_S = (0.0, 1e-7, 0.0004, 0.02, 0.0200001, 0.5, 1.0, 2.0, 2.5, 9.0, 61.0, 3_700.0, 100_000.0)
KEYS = tuple(f"k{number}" for number in range(12))


def stored(frames: Iterable[Frame]) -> list[dict[str, Any]]:
    """Frames as the rows they become, by way of their JSON; `events` is decoded."""
    return [
        {
            "stream": frame.stream,
            "instance": frame.instance,
            "events": json.loads(msgspec.json.encode(frame.events)),
        }
        for frame in frames
    ]


class RandomHistories:
    """Draws executions and facts that belong to none."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._count = 0

    def frames(self, count: int) -> list[Frame]:
        """So many executions among other facts, as frames of one writer in no particular order of time."""
        streams = [self._other() if self._chance(0.15) else self._execution() for _ in range(count)]
        pieces = [(stream, piece) for stream, events in streams for piece in self._cut(events)]
        return [
            Frame(
                instance="i-1",
                instance_seq=number,
                stream=stream,
                recorded_at=piece[-1].at,
                events=piece,
            )
            for number, (stream, piece) in enumerate(pieces, 1)
        ]

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _one_of(self, values: Sequence[Any]) -> Any:
        return values[self._random.randrange(len(values))]

    def _cut(self, events: Sequence[Envelope]) -> list[tuple[Envelope, ...]]:
        """The events as the frames they were written in; the last of them may never have been written."""
        places = sorted({self._random.randint(1, len(events)) for _ in range(2)} | {len(events)})
        pieces = [
            tuple(events[begin:end]) for begin, end in zip([0, *places], places, strict=False) if begin < end
        ]
        return pieces[:-1] if len(pieces) > 1 and self._chance(0.1) else pieces

    def _other(self) -> tuple[str, list[Envelope]]:
        at = NOON + self._random.randrange(SPREAD_S)
        provider = self._one_of(PROVIDERS)
        stream, event = self._one_of(
            (
                ("callers", CallersRefused(reason=self._one_of(("proxied", "overloaded")), count=7)),
                (f"circuit:{provider}", CircuitOpened(provider=provider, reason="failures", cooldown_s=3.0)),
                (f"circuit:{provider}", CircuitHalfOpened(provider=provider)),
                (f"circuit:{provider}", CircuitClosed(provider=provider)),
                (
                    f"provider:{provider}",
                    ProviderKeyRested(provider=provider, key_number=1, reason="quota", rest_s=60.0),
                ),
                ("instance:i-1", InstanceStarted(version="0.4", pid=7)),
            )
        )
        return stream, [Envelope(1, float(at), event)]

    def _execution(self) -> tuple[str, list[Envelope]]:
        self._count += 1
        return f"e-{self._count}", _Execution(self._random).envelopes


class _Died(Exception):
    """The process ended here, in an attempt."""


class _Execution:
    """One execution, drawn step by step; `envelopes` is what it recorded."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._at = NOON + random.random() * SPREAD_S
        self.envelopes: list[Envelope] = []
        self._whose = {
            "operation": self._one_of(("search", "search", "extract", "extract", "crawl", "research")),
            "door": self._one_of(("http", "mcp", "cli")),
            "client": self._one_of(CLIENTS),
            "topic": self._one_of(("general", "news", "")),
        }
        self._numbers = dict.fromkeys(PROVIDERS, 0)
        self._key = self._one_of((*KEYS, ""))
        with contextlib.suppress(_Died):
            self._live()

    def _one_of(self, values: Sequence[Any]) -> Any:
        return values[self._random.randrange(len(values))]

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _record(self, event: Event, after_s: float = 0.001) -> float:
        self._at += after_s
        if self._chance(0.02):
            self._at -= 3_600  # a clock that was put back
        self.envelopes.append(Envelope(len(self.envelopes) + 1, self._at, event))
        return self._at

    def _live(self) -> None:
        self._record(RequestReceived(operation=self._whose["operation"], door=self._whose["door"]))
        if self._whose["client"]:
            self._record(CallerAuthenticated(client=self._whose["client"], method="key"))
        fate = self._one_of(("hit", "join", "chain", "chain", "chain", "refused"))
        if self._whose["operation"] in OPERATIONS and fate != "refused":
            self._relay()
        elif fate == "hit":
            tier = self._one_of(("l1", "l2"))
            saved = self._cost(self._one_of(PROVIDERS))
            self._record(CacheHit(key=self._key, tier=tier, age_s=3.0, saved=saved))
            self._complete(tier, self._one_of(PROVIDERS), saved=saved)
        elif fate == "join":
            self._record(FlightJoined(key=self._key, leader="e-1"))
            self._complete("collapsed", self._one_of(PROVIDERS))
        elif fate == "refused":
            if self._chance(0.5):
                self._record(RequestThrottled(window="minute", retry_after_s=3.0))
            self._fail()
        else:
            self._record(CacheMissed(key=self._key, reason="absent"))
            self._chain()

    def _relay(self) -> None:
        if self._attempt("tavily"):
            self._complete(RELAYED, "tavily")
        else:
            self._fail()

    def _chain(self) -> None:
        answerer = ""
        for provider in PROVIDERS:
            if self._chance(0.15):
                self._record(ProviderSkipped(provider=provider, reason="circuit_open"))
            elif self._attempts(provider):
                answerer = provider
                break
        if self._chance(0.05):
            return  # the process died, perhaps in an attempt
        if answerer:
            self._record(ResultCached(key=self._key, tiers=("l1",), ttl_s=60.0, size_bytes=100))
            is_mixed = self._whose["operation"] == "extract" and self._chance(0.3)
            saved = self._cost(answerer) if is_mixed else FREE
            self._complete("mixed" if is_mixed else "miss", answerer, saved=saved)
        else:
            self._fail()
        if self._chance(0.05):
            self._attempts("jina")  # an attempt that outlived its call

    def _attempts(self, provider: str) -> bool:
        """One attempt or a few at one provider; whether there was an answer."""
        for _ in range(3):
            if self._attempt(provider):
                return True
            if self._chance(0.5):
                return False
            self._record(RetryScheduled(provider=provider, backoff_s=0.1, reason="http_500"))
        return False

    def _attempt(self, provider: str) -> bool:
        self._numbers[provider] += 1
        estimate = self._cost(provider)
        fields = {
            "provider": provider,
            "number": self._numbers[provider],
            "estimate": estimate,
            **self._whose,
        }
        intended_at = self._record(AttemptStarted(span_id="a" * 16, **fields))
        if self._chance(0.1):
            self._record(AttemptHedged(provider=provider, after_s=1.0))
        if self._chance(0.08):
            raise _Died
        duration_s = self._one_of(DURATIONS_S)
        ended = {**fields, "intended_at": intended_at, "duration_s": duration_s}
        if self._chance(0.6):
            results = self._one_of((0, 1, 5))
            later = estimate if self._chance(0.1) else FREE
            done = AttemptSucceeded(results=results, cost=self._cost(provider), assumed=later, **ended)
            self._record(done, duration_s)
            if self._chance(0.2):
                self._record(ResultRejected(provider=provider, reason="empty", dropped=results))
                return False
            return True
        outcome, reason = self._one_of(JUDGEMENTS)
        cost, assumed = self._one_of(
            ((FREE, FREE), (FREE, estimate), (self._cost(provider), FREE), (self._cost(provider), estimate))
        )
        failed = AttemptFailed(outcome=outcome, reason=reason, cost=cost, assumed=assumed, **ended)
        self._record(failed, duration_s)
        return False

    def _cost(self, provider: str) -> Cost:
        unit = UNITS[provider]
        if not unit or self._chance(0.2):
            return FREE
        amount = self._one_of((1.0, 2.0, 0.2, 1_834.0, 1 / 3))
        return Cost(amount=amount, unit=unit, usd_micros=round(amount * 8_000))

    def _complete(self, cache: str, provider: str, saved: Cost = FREE) -> None:
        self._record(
            RequestCompleted(
                **self._whose,
                key=self._key if self._whose["operation"] == "search" else "",
                provider=provider,
                cache=cache,
                results=self._one_of((0, 1, 5)),
                duration_s=self._one_of(DURATIONS_S),
                upstream_s=self._one_of(DURATIONS_S) if cache in {"miss", "mixed"} else 0.0,
                degraded=self._chance(0.1),
                stale=self._chance(0.1),
                fallback=self._chance(0.2),
                cost=self._cost(provider),
                saved=saved,
            )
        )

    def _fail(self) -> None:
        self._record(
            RequestFailed(
                **self._whose,
                key=self._key if self._whose["operation"] == "search" else "",
                error=self._one_of(ERRORS),
                duration_s=self._one_of(DURATIONS_S),
            )
        )
