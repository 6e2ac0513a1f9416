"""Every fact the gateway records, in the past tense; nothing else is ever stored about an execution.

An event is frozen, versioned by its type name (`amos.<area>.<fact>.v<n>`) and holds no secret, no query text
and no URL of a caller. An envelope adds its number within the stream and when it happened. A frame is what is
written at once: all envelopes an execution has recorded since its last frame. Reports, health, traces and
bills are folds over envelopes.

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
    """The caller is known as `client`; `method`: `key`, `local_operator`, `in_process` or `anonymous`.

    `key_id` names the API key, `""` without one.
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

    It settles the intent recorded at `intended_at`.
    """

    intended_at: float = 0.0
    duration_s: float
    results: int
    cost: Cost = FREE


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


class RetryScheduled(Event, frozen=True, kw_only=True, tag="amos.retry.scheduled.v1"):
    """A further attempt at the same provider follows after `backoff_s`."""

    provider: str
    backoff_s: float
    reason: str


class ProviderSkipped(Event, frozen=True, kw_only=True, tag="amos.provider.skipped.v1"):
    """The chain passed a provider by without calling it.

    `reason`: `circuit_open`, `deadline`, `budget` or `calls_per_minute`.
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
    for some of its pages only. `duration_s` is the whole stay, `upstream_s` the part spent waiting for
    providers. `saved` is what its cached parts had cost when fetched, `key` the cache key of a search.
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


# --- facts that belong to no execution


class CallersRefused(Event, frozen=True, kw_only=True, tag="amos.caller.refused.v1"):
    """Calls of one second that were turned away at the door, counted, so that they cannot fill the disk."""

    reason: str
    count: int


class CircuitOpened(Event, frozen=True, kw_only=True, tag="amos.circuit.opened.v1"):
    """The provider is not called for `cooldown_s`."""

    provider: str
    reason: str
    cooldown_s: float


class CircuitHalfOpened(Event, frozen=True, kw_only=True, tag="amos.circuit.half_opened.v1"):
    """The cooldown is over; one probe may pass."""

    provider: str


class CircuitClosed(Event, frozen=True, kw_only=True, tag="amos.circuit.closed.v1"):
    """A probe succeeded; the provider is called again."""

    provider: str


class BudgetWarned(Event, frozen=True, kw_only=True, tag="amos.budget.warned.v1"):
    """So many `percent` of an account's limit are reserved or spent; once per period and mark.

    `account` is `all`, `client:<client>` or `provider:<provider>`, `period` the UTC day or month,
    `2026-11-25` or `2026-11`. `spent` and `limit` are millionths of a US dollar, for `provider:` of the
    provider's own unit.
    """

    account: str
    period: str
    percent: int
    spent: int
    limit: int


class BudgetStopped(Event, frozen=True, kw_only=True, tag="amos.budget.stopped.v1"):
    """A call did not fit into what is left of an account's limit, for the first time in this period."""

    account: str
    period: str
    spent: int
    limit: int


class KeyCreated(Event, frozen=True, kw_only=True, tag="amos.key.created.v1"):
    """An API key came into being for `client`, made by the client `by`; `expires_at` 0 is never."""

    key_id: str
    client: str
    scopes: tuple[str, ...]
    expires_at: float = 0.0
    by: str


class KeyRotated(Event, frozen=True, kw_only=True, tag="amos.key.rotated.v1"):
    """The key `key_id` took the place of `replaces`, which ends at `replaced_ends_at` at the latest."""

    key_id: str
    replaces: str
    replaced_ends_at: float
    client: str
    scopes: tuple[str, ...]
    expires_at: float = 0.0
    by: str


class KeyRevoked(Event, frozen=True, kw_only=True, tag="amos.key.revoked.v1"):
    """An API key was ended for good."""

    key_id: str
    client: str
    by: str


class StoreLost(Event, frozen=True, kw_only=True, tag="amos.store.lost.v1"):
    """A store that instances share is out of reach; each goes on by itself."""

    store: str
    reason: str


class StoreRestored(Event, frozen=True, kw_only=True, tag="amos.store.restored.v1"):
    """The store answers again, after `outage_s`."""

    store: str
    outage_s: float


class InstanceStarted(Event, frozen=True, kw_only=True, tag="amos.instance.started.v1"):
    """A writer began its numbered series of frames."""

    version: str
    pid: int


class InstanceStopped(Event, frozen=True, kw_only=True, tag="amos.instance.stopped.v1"):
    """A writer ended its series on purpose; a series without this event ended in a crash."""

    pid: int


class UnknownEvent(msgspec.Struct, frozen=True):
    """An event of a type this version does not know: kept in the log, passed over by every fold."""

    type: str


_structs = (value for value in tuple(globals().values()) if isinstance(value, type(Event)))

EVENT_TYPES: tuple[type[Event], ...] = tuple(
    sorted(
        (cls for cls in _structs if issubclass(cls, Event) and cls not in {Event, AttemptEvent}),
        key=lambda cls: str(cls.__struct_config__.tag),
    )
)
"""Every event class but the bases, by type name. The codec decodes exactly these."""


class Envelope(msgspec.Struct, frozen=True):
    """One event with its number in the stream (from 1, without holes) and the moment it happened."""

    seq: int
    at: float
    event: Any
    """An `Event`; typed loosely only so that the codec may put an `UnknownEvent` here."""


class Frame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is written at once: one journal record, one SQL row.

    `stream` is an execution id, or `circuit:<provider>`, `budget:<account>`, `store:<store>`, `callers`,
    `keys`, `instance:<instance>`. `(instance, instance_seq)` identifies the frame; each writer numbers its
    frames from 1, so a hole is a loss. `texts` maps cache keys to query texts: they go to an erasable table,
    never into a row of events.
    """

    instance: str
    instance_seq: int
    stream: str
    recorded_at: float
    events: tuple[Envelope, ...]
    texts: dict[str, str] = {}
