"""One event of each type that was ever recorded, with every field set to what is not its default.

For a past version it is the event of the present one that its golden frame must be read as.
"""

from __future__ import annotations

from orchestrator.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    BudgetStopped,
    BudgetWarned,
    CacheHit,
    CacheMissed,
    CallerAuthenticated,
    CallersRefused,
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
    Cost,
    Event,
    FlightJoined,
    InstanceStarted,
    InstanceStopped,
    KeyCreated,
    KeyRevoked,
    KeyRotated,
    ProviderSkipped,
    RequestCompleted,
    RequestFailed,
    RequestReceived,
    RequestThrottled,
    ResultCached,
    ResultRejected,
    RetryScheduled,
    StoreLost,
    StoreRestored,
)
from tests.support.histories import NOON

KEY = "6f1c0c3c5e0b4f0c8d7d6f8c2a9e1b34"
EXECUTION = "019ab6e2-7c11-7d52-9b1e-3f8a5c0d2e46"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PRICE = Cost(amount=2.0, unit="credits", usd_micros=16_000)
WHOSE = {"operation": "search", "door": "http", "client": "agent", "topic": "news"}

PRESENT: tuple[Event, ...] = (
    AttemptFailed(
        provider="tavily",
        number=2,
        estimate=PRICE,
        intended_at=NOON - 2.0,
        duration_s=1.5,
        outcome="retryable",
        reason="timeout",
        cost=Cost(amount=1.0, unit="credits", usd_micros=8_000),
        assumed=PRICE,
        **WHOSE,
    ),
    AttemptStarted(provider="tavily", number=2, estimate=PRICE, span_id="00f067aa0ba902b7", **WHOSE),
    AttemptSucceeded(
        provider="jina",
        number=1,
        estimate=Cost(amount=10_000.0, unit="tokens", usd_micros=500),
        intended_at=NOON - 1.0,
        duration_s=0.75,
        results=5,
        cost=Cost(amount=8_213.0, unit="tokens", usd_micros=411),
        **WHOSE,
    ),
    BudgetStopped(account="client:agent", period="2026-11-25", spent=4_990_000, limit=5_000_000),
    BudgetWarned(account="provider:tavily", period="2026-11", percent=90, spent=905, limit=1_000),
    CacheHit(key=KEY, tier="l2", age_s=12.5, saved=PRICE, misses={"l1": "absent"}),
    CacheMissed(key=KEY, reason="expired", misses={"l1": "absent", "l2": "expired"}),
    ResultCached(key=KEY, tiers=("l1", "l2"), ttl_s=3_715.0, size_bytes=4_096),
    CallerAuthenticated(client="agent", method="key", key_id="k7Qm2xR9"),
    CallersRefused(reason="unauthenticated", count=17),
    CircuitClosed(provider="tavily"),
    CircuitHalfOpened(provider="tavily"),
    CircuitOpened(provider="tavily", reason="failures", cooldown_s=30.0),
    FlightJoined(key=KEY, leader=EXECUTION, leader_trace_id=TRACE),
    InstanceStarted(version="0.1.0", pid=71),
    InstanceStopped(pid=71),
    KeyCreated(key_id="k7Qm2xR9", client="agent", scopes=("search", "extract"), expires_at=NOON, by="local"),
    KeyRevoked(key_id="k7Qm2xR9", client="agent", by="local"),
    KeyRotated(
        key_id="p4Wn8sT1",
        replaces="k7Qm2xR9",
        replaced_ends_at=NOON + 3_600.0,
        client="agent",
        scopes=("search", "extract"),
        expires_at=NOON + 86_400.0,
        by="local",
    ),
    ProviderSkipped(provider="jina", reason="circuit_open"),
    RequestCompleted(
        operation="search",
        door="mcp",
        client="agent",
        topic="news",
        key=KEY,
        provider="jina",
        cache="miss",
        results=5,
        duration_s=2.26,
        upstream_s=2.25,
        degraded=True,
        stale=True,
        fallback=True,
        cost=PRICE,
        saved=Cost(amount=1.0, unit="credits", usd_micros=8_000),
    ),
    RequestFailed(
        operation="search",
        door="http",
        client="agent",
        topic="news",
        key=KEY,
        error="all_providers_failed",
        duration_s=8.5,
        upstream_s=8.4,
    ),
    RequestReceived(
        operation="search",
        door="http",
        dialect="tavily",
        topic="news",
        depth="advanced",
        max_results=5,
        url_count=1,
        trace_id=TRACE,
        parent_span_id="b7ad6b7169203331",
        method="POST",
        target="/search",
    ),
    RequestThrottled(window="minute", retry_after_s=1.5),
    ResultRejected(provider="tavily", reason="unsafe_url", dropped=2),
    RetryScheduled(provider="tavily", backoff_s=0.25, reason="http_503"),
    StoreLost(store="redis", reason="timeout"),
    StoreRestored(store="redis", outage_s=42.0),
)
"""Of every type this version records."""

PAST: dict[str, Event] = {}
"""Of every version that is no longer recorded, by its type name: what it is read as today."""

EVENTS: dict[str, Event] = {**{str(event.__struct_config__.tag): event for event in PRESENT}, **PAST}
