"""Every fact the gateway records, in the past tense; nothing else is ever stored about an execution.

An event is frozen, versioned by its type name (`amos.<area>.<fact>.v<n>`) and holds no secret, no query text
and no URL of a caller. An envelope adds its number within the stream and when it happened. A frame is what is
written at once: all envelopes an execution has recorded since its last frame. Reports, health, traces and
bills are folds over envelopes.

Here are the events of one execution; facts.py has those that belong to none.

Units: `_s` seconds, `_bytes` bytes, `at` and `recorded_at` seconds since 1970-01-01 UTC, `usd_micros`
millionths of a US dollar. A string field that does not apply is `""`.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """Base of all events; the tag is the type name with its version."""


class Cost(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one provider call costs: the provider's own unit, and money as an integer.

    `amount` counts `unit`s (`credits` at Tavily, `tokens` at Jina); 0 is free.
    """

    amount: float = 0.0
    unit: str = ""
    usd_micros: int = 0

    def __add__(self, other: Cost) -> Cost:
        """Both together.

        Amounts of different units do not add: the sum is then in money only, unit `mixed`.
        """
        if self == FREE:
            return other
        if other == FREE:
            return self
        micros = self.usd_micros + other.usd_micros
        if self.unit != other.unit:
            return Cost(unit="mixed", usd_micros=micros)
        return Cost(amount=self.amount + other.amount, unit=self.unit, usd_micros=micros)


FREE = Cost()
"""The cost of a call nobody bills."""

MILLION = 1_000_000
"""Sums are kept in millionths, of a US dollar or of a provider's unit, as integers: so they are exact."""


# --- one execution


class RequestReceived(Event, frozen=True, kw_only=True, tag="amos.request.received.v1"):
    """A call of `method` (POST, tools/call) and `target` (route, tool) came in, with or without a trace."""

    operation: str
    door: str
    method: str = ""
    target: str = ""
    dialect: str = ""
    topic: str = ""
    depth: str = ""
    max_results: int = 0
    url_count: int = 0
    trace_id: str = ""
    parent_span_id: str = ""


class CallerAuthenticated(Event, frozen=True, kw_only=True, tag="amos.caller.authenticated.v1"):
    """The caller is known as `client`; `method` says by what.

    `key`, `session` (which began with a key), `local_operator`, `in_process` or `anonymous`. `key_id` names
    the API key, `""` without one.
    """

    client: str
    method: str
    key_id: str = ""


class RequestThrottled(Event, frozen=True, kw_only=True, tag="amos.request.throttled.v1"):
    """The caller's `window` was used up."""

    window: str
    retry_after_s: float


class CacheHit(Event, frozen=True, kw_only=True, tag="amos.cache.hit.v1"):
    """A tier had a fresh answer under `key`, `age_s` old, that had cost `saved` when it was fetched.

    `misses` says of each tier asked before it why it had none.
    """

    key: str
    tier: str
    age_s: float
    saved: Cost = FREE
    misses: dict[str, str] = {}


class CacheMissed(Event, frozen=True, kw_only=True, tag="amos.cache.missed.v1"):
    """No tier answered.

    `reason`: `absent`, `expired`, `bypass` (no-cache), `too_old` (max-age) or `outage`. `misses` has the
    reason of each tier that was asked; the last of them that is not `absent` is the reason of all.
    """

    key: str
    reason: str
    misses: dict[str, str] = {}


class ResultCached(Event, frozen=True, kw_only=True, tag="amos.cache.stored.v1"):
    """The answer was put into the named tiers for `ttl_s`."""

    key: str
    tiers: tuple[str, ...]
    ttl_s: float
    size_bytes: int


class StaleServed(Event, frozen=True, kw_only=True, tag="amos.cache.stale.v1"):
    """A tier had an answer under `key`, `age_s` old, past its freshness, and the caller was given that.

    Or it was fresh, but older than the caller had wanted. `cause`: `revalidating` (it may be given while a
    fresh one is fetched behind the callers' backs), or why no fresh one could be had: `error`, `quota`,
    `budget` or `deadline`. `saved` as of a hit; `misses` has why each tier asked, its own too, had no fresh
    one, unless CacheMissed has said so before.
    """

    key: str
    tier: str
    age_s: float
    cause: str
    saved: Cost = FREE
    misses: dict[str, str] = {}


class RefreshStarted(Event, frozen=True, kw_only=True, tag="amos.cache.refresh_started.v1"):
    """An answer is fetched although nobody waits for it.

    `cause`: `stale` (the caller of this execution was given the old one, `age_s` old) or `warming`; then it
    is the first event of an execution without a caller.
    """

    key: str
    cause: str
    age_s: float = 0.0


class FlightJoined(Event, frozen=True, kw_only=True, tag="amos.flight.joined.v1"):
    """An identical call was under way; this one waited for the answer of the execution `leader`."""

    key: str
    leader: str
    leader_trace_id: str = ""


class AttemptEvent(Event, frozen=True, kw_only=True):
    """What the facts of one call to one provider have in common.

    `number` counts the attempts of this execution at this provider, from 1; `operation` to `topic` are those
    of the execution, so that what was spent can be told by client. `estimate` is the most the call was
    expected to cost.
    """

    provider: str
    number: int
    estimate: Cost = FREE
    operation: str = ""
    door: str = ""
    client: str = ""
    topic: str = ""


class AttemptStarted(AttemptEvent, frozen=True, kw_only=True, tag="amos.attempt.started.v1"):
    """The intent: written before the provider is called. Without an outcome it settles as spent, assumed."""

    span_id: str


class AttemptSucceeded(AttemptEvent, frozen=True, kw_only=True, tag="amos.attempt.succeeded.v1"):
    """The provider gave a valid answer, perhaps an empty one (`results` 0).

    It settles the intent recorded at `intended_at`. `assumed` is what it will be billed for it later, as far
    as that can be told: a research that has begun.
    """

    intended_at: float = 0.0
    duration_s: float
    results: int
    cost: Cost = FREE
    assumed: Cost = FREE


class AttemptFailed(AttemptEvent, frozen=True, kw_only=True, tag="amos.attempt.failed.v1"):
    """The attempt ended without a valid answer. It settles the intent recorded at `intended_at`.

    `outcome` is the judgement of outcome.py, `reason` its cause. `cost` is what the provider said it billed
    all the same, `assumed` the estimate of what it may have billed without saying so: the request may have
    reached it, and no bill came back.
    """

    intended_at: float = 0.0
    duration_s: float
    outcome: str
    reason: str
    cost: Cost = FREE
    assumed: Cost = FREE


class AttemptHedged(Event, frozen=True, kw_only=True, tag="amos.attempt.hedged.v1"):
    """The provider had not answered after `after_s`, longer than usual; the next one was asked too.

    The first useful answer counts. The other attempt is cancelled, and its intent settles as spent.
    """

    provider: str
    after_s: float


class RetryScheduled(Event, frozen=True, kw_only=True, tag="amos.retry.scheduled.v1"):
    """A further attempt at the same provider follows after `backoff_s`."""

    provider: str
    backoff_s: float
    reason: str


class ProviderSkipped(Event, frozen=True, kw_only=True, tag="amos.provider.skipped.v1"):
    """The chain passed a provider by without calling it.

    `reason`: `circuit_open`, `deadline`, `budget`, `calls_per_minute` or `busy` (as many calls to
    it are under way as may be).
    """

    provider: str
    reason: str


class ResultRejected(Event, frozen=True, kw_only=True, tag="amos.result.rejected.v1"):
    """Answers of a provider were dropped before anybody saw them; `dropped` counts results."""

    provider: str
    reason: str
    dropped: int


class RequestCompleted(Event, frozen=True, kw_only=True, tag="amos.request.completed.v1"):
    """The last word of an execution that was answered.

    `cache` is `l1`, `l2`, `collapsed` (a follower), `miss`, or `mixed` for an extract that asked a provider
    for some of its pages only, or `relayed` for what is passed on and never cached. `duration_s` is the whole
    stay, `upstream_s` the part spent waiting for providers. `saved` is what its cached parts had cost when
    fetched, `key` the cache key of a search.
    """

    operation: str
    door: str
    client: str
    topic: str = ""
    key: str = ""
    provider: str = ""
    cache: str
    results: int
    duration_s: float
    upstream_s: float = 0.0
    degraded: bool = False
    stale: bool = False
    fallback: bool = False
    cost: Cost = FREE
    saved: Cost = FREE


class RequestFailed(Event, frozen=True, kw_only=True, tag="amos.request.failed.v1"):
    """The last word of an execution that was refused or had no answer; `error` is the error's code.

    `key` is the cache key of a search that came as far as the cache.
    """

    operation: str
    door: str
    client: str = ""
    topic: str = ""
    key: str = ""
    error: str
    duration_s: float
    upstream_s: float = 0.0


# --- how events are kept


class UnknownEvent(msgspec.Struct, frozen=True):
    """An event of a type this version does not know: kept in the log, passed over by every fold."""

    type: str


class Envelope(msgspec.Struct, frozen=True):
    """One event with its number in the stream (from 1, without holes) and the moment it happened."""

    seq: int
    at: float
    event: Any
    """An `Event`; typed loosely only so that the codec may put an `UnknownEvent` here."""


class Frame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is written at once: one journal record, one SQL row.

    `stream` is an execution id, or `circuit:<provider>`, `provider:<provider>`, `budget:<account>`,
    `store:<store>`, `cache:all`, `cache:<tier>`, `warming:<cause>`, `callers`, `keys`, `providers`,
    `instance:<instance>`.
    `(instance, instance_seq)` identifies the frame; each writer numbers its frames from 1, so a hole is a
    loss. `texts` maps cache keys to query texts, `requests` to what else was asked, as `asked.options_of`
    writes it: both go to an erasable table, never into a row of events.
    """

    instance: str
    instance_seq: int
    stream: str
    recorded_at: float
    events: tuple[Envelope, ...]
    texts: dict[str, str] = {}
    requests: dict[str, str] = {}
