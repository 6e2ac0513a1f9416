"""Facts that belong to no execution: of circuits, providers, budgets, keys, stores and processes.

They are events like those of events.py, each a frame of a stream of its own.
"""

from __future__ import annotations

from typing import Any

from msgspec import field

from orchestrator.events import FREE, Cost, Event

PROVIDERS_STREAM = "providers"
"""Stream of the facts about providers that were said at run time; it is never pruned."""


class CallersRefused(Event, frozen=True, kw_only=True, tag="amos.caller.refused.v1"):
    """Calls of one second that were turned away at the door, counted, so that they cannot fill the disk."""

    reason: str
    count: int


class CircuitOpened(Event, frozen=True, kw_only=True, tag="amos.circuit.opened.v1"):
    """The provider is not called for `cooldown_s`.

    `openings` counts how often it has opened without being well in between, this time included.
    """

    provider: str
    reason: str
    cooldown_s: float
    openings: int = 1


class CircuitHalfOpened(Event, frozen=True, kw_only=True, tag="amos.circuit.half_opened.v1"):
    """The cooldown is over; one probe may pass."""

    provider: str


class CircuitClosed(Event, frozen=True, kw_only=True, tag="amos.circuit.closed.v1"):
    """A probe succeeded; the provider is called again."""

    provider: str


class ProviderKeyRested(Event, frozen=True, kw_only=True, tag="amos.provider.key_rested.v1"):
    """One of several keys for a provider is not used for `rest_s`: drained, refused or throttled (`reason`).

    `key_number` is its place in the settings, from 1; the key itself is in no event.
    """

    provider: str
    key_number: int
    reason: str
    rest_s: float


class ProviderRegistered(Event, frozen=True, kw_only=True, tag="amos.provider.registered.v1"):
    """The client `by` had a provider registered at run time, in place of one it had registered so before.

    `options` are those of its `kind`, as they were given; they name secrets and hold none.
    """

    provider: str
    kind: str
    priority: int
    options: dict[str, Any] = field(default_factory=dict)
    is_enabled: bool = True
    by: str


class ProviderMoved(Event, frozen=True, kw_only=True, tag="amos.provider.moved.v1"):
    """A provider has another place in the chain: the lowest `priority` is asked first."""

    provider: str
    priority: int
    by: str


class ProviderEnabled(Event, frozen=True, kw_only=True, tag="amos.provider.enabled.v1"):
    """A provider that was disabled is asked again."""

    provider: str
    by: str


class ProviderDisabled(Event, frozen=True, kw_only=True, tag="amos.provider.disabled.v1"):
    """A provider is asked no more until it is enabled."""

    provider: str
    by: str


class ProviderRemoved(Event, frozen=True, kw_only=True, tag="amos.provider.removed.v1"):
    """A provider that was registered at run time is no more."""

    provider: str
    by: str


class ProviderBlockedLoop(Event, frozen=True, kw_only=True, tag="amos.provider.blocked_loop.v1"):
    """A plug-in held the event loop for `duration_s`, in which nobody else was served.

    Once a minute and process at most, however often it does.
    """

    provider: str
    duration_s: float


class ProviderCallAbandoned(Event, frozen=True, kw_only=True, tag="amos.provider.call_abandoned.v1"):
    """A call to a plug-in did not end when it was cancelled, and nobody waits for it any more.

    `under_way` such calls of the plug-in go on in this process, this one included. Once a minute and process
    at most.
    """

    provider: str
    under_way: int


class CacheResized(Event, frozen=True, kw_only=True, tag="amos.cache.resized.v1"):
    """A tier in memory may now hold `bytes_max` instead of `was_bytes_max`.

    `reason`: `pressure` (memory runs short) or `relief`.
    """

    tier: str
    bytes_max: int
    was_bytes_max: int
    reason: str


class CacheCleared(Event, frozen=True, kw_only=True, tag="amos.cache.cleared.v1"):
    """The client `by` had `entries` answers thrown away from the named tiers."""

    tiers: tuple[str, ...]
    entries: int
    by: str


class WarmingFinished(Event, frozen=True, kw_only=True, tag="amos.warming.finished.v1"):
    """Answers that are often asked for were fetched ahead of their callers.

    `cause`: `schedule` or `command`; `ended_by`: `done`, `budget`, `time`, `provider` (the first one is ill),
    `record` (nothing can be recorded) or `cancelled`. Of the `candidates` so many were `warmed`, `failed`,
    left out because they were fresh (`skipped`), and left out because nobody knows any more what was asked
    (`unknown`). The others were not come to.
    """

    cause: str
    ended_by: str
    candidates: int
    warmed: int
    skipped: int
    failed: int
    unknown: int = 0
    cost: Cost = FREE
    duration_s: float


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


class UsageReconciled(Event, frozen=True, kw_only=True, tag="amos.budget.reconciled.v1"):
    """A provider told what it has counted for our `keys` (how many) there, and was compared with the record.

    Since `since`, when both were first seen in this count, its counter has grown by `reported` and the record
    by `recorded`, what is assumed to have been billed included; both are 0 at that first look. `counter` is
    what it told now, `total` what the record has of it in all. All in the provider's `unit`.
    """

    provider: str
    unit: str
    since: float
    reported: float
    recorded: float
    counter: float
    total: float
    keys: int = 1


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
