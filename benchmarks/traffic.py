"""A month of an office's traffic, made up: frames as the gateway would have recorded them, from a seed.

Twenty clients, a few of them busy, ask through three doors about twenty thousand queries, of which the most
popular is asked twice as often as the second (Zipf, exponent 1); half the day is quiet. What was asked within
the lifetime of a cached answer is a hit. One call in twenty reads pages, one in a hundred joins another, one
in two hundred is over its limit; of those that ask a provider one in fifty needs the second one. All numbers
are chosen. At ten million frames a month three answers in five are hits, so there are many of everything.
"""

from __future__ import annotations

import hashlib
import math
import random
from bisect import bisect
from collections.abc import Iterator, Sequence
from itertools import accumulate

import msgspec

from orchestrator.events import (
    FREE,
    AttemptFailed,
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
)
from orchestrator.facts import (
    CallersRefused,
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
)

DAY_S = 86_400
QUERIES = 20_000
TTL_S = 3_600.0
WRITERS = ("office-1-0a1b2c3d", "office-2-4e5f6071")

CREDIT = Cost(amount=1.0, unit="credits", usd_micros=8_000)
TOKENS = Cost(amount=10_000.0, unit="tokens", usd_micros=500)
PRICES = {"tavily": CREDIT, "jina": TOKENS, "local": FREE}
MEDIAN_S = {"tavily": 0.9, "jina": 2.2, "local": 0.02}
"""How long half of the calls to a provider take; the others follow a log-normal distribution."""

WELL, ILL = 0.02, 0.7
"""Share of attempts that fail on most calls, and on the one in two hundred that meets bad weather."""

DIALECTS = {"http": "tavily", "mcp": "", "cli": ""}
BY_HOUR = tuple(1.1 - math.cos(2 * math.pi * (hour - 3) / 24) for hour in range(24))
"""How busy the hours of a day are: the least at three in the morning."""


class Caller(msgspec.Struct, frozen=True):
    """A client and the door it comes through."""

    name: str
    door: str


class Question(msgspec.Struct, frozen=True):
    """Something that is asked again and again."""

    key: str
    text: str
    topic: str


class Cached(msgspec.Struct, frozen=True):
    """An answer that is still good until `ends_at`, and who gave it."""

    fetched_at: float
    ends_at: float
    provider: str


class Traffic:
    """Frames of `days` days that end at `until` (epoch seconds), `count` of them in all; always the same."""

    def __init__(self, count: int, until: float, days: float, seed: int = 4) -> None:
        self._chance = random.Random(seed)
        self._count, self._begin, self._days = count, until - days * DAY_S, days
        self._callers = [Caller(f"client-{n:02}", "mcp" if n % 4 == 3 else "http") for n in range(19)]
        self._callers.append(Caller("local", "cli"))
        self._callers_upto = list(accumulate(1 / rank for rank in range(1, 21)))
        self._questions = [_question(number) for number in range(QUERIES)]
        self._questions_upto = list(accumulate(1 / rank for rank in range(1, QUERIES + 1)))
        self._day_upto = [0.0, *accumulate(weight / sum(BY_HOUR) for weight in BY_HOUR)]
        self._cache: dict[str, Cached] = {}
        self._numbers = dict.fromkeys(WRITERS, 0)
        self._opened_at = self._begin

    def frames(self) -> Iterator[Frame]:
        """All frames, oldest first, but for the last ones of calls that overlap."""
        made = 0
        while True:
            for stream, texts, frame_events in self._happening(self._moment(made)):
                if made == self._count:
                    return
                made += 1
                yield self._frame(stream, frame_events, texts)

    def _moment(self, made: int) -> float:
        """When the frame of this number is due, for the hours of a day to have their shares."""
        day, share = divmod(made / self._count * self._days, 1.0)
        hour = min(bisect(self._day_upto, share) - 1, 23)
        into = (share - self._day_upto[hour]) / (self._day_upto[hour + 1] - self._day_upto[hour])
        return self._begin + day * DAY_S + (hour + into) * 3_600

    def _frame(self, stream: str, events: Sequence[Envelope], texts: dict[str, str]) -> Frame:
        writer = WRITERS[ord(stream[-1]) % len(WRITERS)]
        self._numbers[writer] += 1
        return Frame(
            instance=writer,
            instance_seq=self._numbers[writer],
            stream=stream,
            recorded_at=events[-1].at,
            events=tuple(events),
            texts=texts,
        )

    def _happening(self, at: float) -> Iterator[tuple[str, dict[str, str], Sequence[Envelope]]]:
        """The frames of one call, or of something else that happened."""
        draw = self._chance.random()
        if draw < 0.001:
            yield "callers", {}, [Envelope(1, at, CallersRefused(reason="unauthenticated", count=3))]
        elif at - self._opened_at > DAY_S / 2:
            self._opened_at = at
            for number, event in enumerate(_outage(), 1):
                yield "circuit:tavily", {}, [Envelope(number, at + number * 15, event)]
        else:
            yield from self._call(at, draw)

    def _call(self, at: float, draw: float) -> Iterator[tuple[str, dict[str, str], Sequence[Envelope]]]:
        chance = self._chance
        caller = chance.choices(self._callers, cum_weights=self._callers_upto)[0]
        stream = _execution_id(at, chance)
        question = chance.choices(self._questions, cum_weights=self._questions_upto)[0]
        call = Call(caller, question, stream, at, chance)
        cached = self._cache.get(question.key)
        if draw < 0.006:
            call.throttled()
        elif draw < 0.016:
            call.collapsed()
        elif draw < 0.066:
            yield from call.fetched(is_extract=True)
        elif cached and cached.ends_at > at:
            call.hit(cached)
        else:
            yield from call.fetched(is_extract=False)
            if call.fetched_from:
                self._cache[question.key] = Cached(
                    at, at + TTL_S * (0.9 + chance.random() / 5), call.fetched_from
                )
        yield stream, {}, call.take()


class Call:
    """The events of one call, as they come; `fetched_from` is the provider that answered it, if one did."""

    def __init__(
        self, caller: Caller, question: Question, stream: str, at: float, chance: random.Random
    ) -> None:
        self._caller, self._question, self._stream, self._chance = caller, question, stream, chance
        self._begin = self._at = at
        self._seq = 0
        self._events: list[Envelope] = []
        self.fetched_from = ""

    def take(self) -> list[Envelope]:
        """The events since the last time: what one frame holds."""
        taken, self._events = self._events, []
        return taken

    def hit(self, cached: Cached) -> None:
        """Answered from the cache."""
        self._enter("search")
        tier = "l1" if self._chance.random() < 0.8 else "l2"
        price = PRICES[cached.provider]
        age_s = self._at - cached.fetched_at
        self._add(CacheHit(key=self._question.key, tier=tier, age_s=age_s, saved=price), 0.0001)
        self._wait(0.0004 if tier == "l1" else 0.0012)
        self._answer("search", cached.provider, cache=tier, saved=price)

    def collapsed(self) -> None:
        """Waited for another call."""
        self._enter("search")
        self._add(FlightJoined(key=self._question.key, leader=self._stream), 0.0001)
        self._wait(0.4)
        self._answer("search", "tavily", cache="collapsed")

    def throttled(self) -> None:
        """Over the limit."""
        self._enter("search")
        self._add(RequestThrottled(window="minute", retry_after_s=4.0), 0.0001)
        self._fail("rate_limited")

    def fetched(self, *, is_extract: bool) -> Iterator[tuple[str, dict[str, str], Sequence[Envelope]]]:
        """Asked one provider after the other until one answered: a frame with the intent before each."""
        operation = "extract" if is_extract else "search"
        self._enter(operation)
        key = self._question.key
        self._add(CacheMissed(key=key, reason="absent", misses={"l1": "absent"}), 0.0002)
        texts = {key: self._question.text}
        upstream_s, failures = 0.0, ILL if self._chance.random() < 0.005 else WELL
        for place, provider in enumerate(PRICES):
            whose = {
                "provider": provider,
                "number": 1,
                "estimate": PRICES[provider],
                **self._whose(operation),
            }
            self._add(AttemptStarted(span_id=f"{self._chance.getrandbits(64):016x}", **whose), 0.0002)
            intended_at = self._at
            yield self._stream, texts, self.take()
            texts = {}
            duration_s = self._wait(MEDIAN_S[provider])
            upstream_s += duration_s
            whose |= {"intended_at": intended_at, "duration_s": duration_s}
            if self._chance.random() >= failures:
                found = 0 if self._chance.random() < 0.02 else 5
                self._add(AttemptSucceeded(results=found, cost=PRICES[provider], **whose), 0.0)
                tiers, size_bytes = ("l1", "l2"), self._chance.randrange(900, 9_000)
                self._add(ResultCached(key=key, tiers=tiers, ttl_s=TTL_S, size_bytes=size_bytes), 0.0001)
                self.fetched_from = provider
                self._answer(operation, provider, found, upstream_s, cache="miss", fallback=place > 0)
                return
            self._add(
                AttemptFailed(outcome="retryable", reason="timeout", assumed=PRICES[provider], **whose), 0.0
            )
            if place == 0 and self._chance.random() < 0.3:
                self._add(ProviderSkipped(provider="jina", reason="circuit_open"), 0.0)
        self._fail("providers_failed", operation, upstream_s)

    def _whose(self, operation: str) -> dict[str, str]:
        topic = self._question.topic if operation == "search" else ""
        return {
            "operation": operation,
            "door": self._caller.door,
            "client": self._caller.name,
            "topic": topic,
        }

    def _enter(self, operation: str) -> None:
        door = self._caller.door
        searching = (
            {"topic": self._question.topic, "max_results": 5} if operation == "search" else {"url_count": 1}
        )
        trace_id = self._stream.replace("-", "")
        self._add(
            RequestReceived(
                operation=operation,
                door=door,
                dialect=DIALECTS[door],
                depth="basic",
                trace_id=trace_id,
                **searching,
            ),
            0.0,
        )
        name = self._caller.name
        is_local = door == "cli"
        method, key_id = ("local_operator", "") if is_local else ("key", f"{name}-key")
        self._add(CallerAuthenticated(client=name, method=method, key_id=key_id), 0.00003)

    def _answer(
        self, operation: str, provider: str, results: int = 5, upstream_s: float = 0.0, **more: object
    ) -> None:
        known = {"cost": PRICES[provider]} if more["cache"] == "miss" else {}
        key = {"key": self._question.key} if operation == "search" else {}
        done = RequestCompleted(
            provider=provider,
            results=results,
            duration_s=self._at - self._begin + 0.0002,
            upstream_s=upstream_s,
            **self._whose(operation),
            **known,
            **key,
            **more,
        )
        self._add(done, 0.0001)

    def _fail(self, error: str, operation: str = "search", upstream_s: float = 0.0) -> None:
        stay = {"duration_s": self._at - self._begin, "upstream_s": upstream_s}
        key = self._question.key if operation == "search" and upstream_s else ""
        self._add(RequestFailed(error=error, key=key, **stay, **self._whose(operation)), 0.0001)

    def _wait(self, median_s: float) -> float:
        waited_s = self._chance.lognormvariate(math.log(median_s), 0.4)
        self._at += waited_s
        return waited_s

    def _add(self, event: Event, after_s: float) -> None:
        self._seq += 1
        self._at += after_s * self._chance.uniform(0.5, 2.0)
        self._events.append(Envelope(self._seq, self._at, event))


def _question(number: int) -> Question:
    text = f"question {number} about the tides, the harbour and its boats"
    key = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    topic = "news" if number % 6 == 5 else "finance" if number % 19 == 18 else "general"
    return Question(key, text, topic)


def _execution_id(at: float, chance: random.Random) -> str:
    """A UUIDv7 of the moment."""
    digits = f"{int(at * 1000):012x}7{chance.getrandbits(12):03x}8{chance.getrandbits(60):015x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _outage() -> tuple[Event, ...]:
    return (
        CircuitOpened(provider="tavily", reason="failures", cooldown_s=15.0),
        CircuitHalfOpened(provider="tavily"),
        CircuitClosed(provider="tavily"),
    )
