"""Histories of executions as the gateway records them, for tests of journals, logs and folds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
    ProviderSkipped,
    RequestCompleted,
    RequestFailed,
    RequestReceived,
    ResultCached,
)

NOON = 1_800_000_000.0
"""A moment at the beginning of a minute and of no hour."""

CREDIT = Cost(amount=1.0, unit="credits", usd_micros=8_000)
"""What one basic search at Tavily costs."""


def numbered(events: Iterable[Event], at: float = NOON, first: int = 1) -> tuple[Envelope, ...]:
    """The events as envelopes, a millisecond apart."""
    return tuple(
        Envelope(number, at + (number - first) * 0.001, event) for number, event in enumerate(events, first)
    )


def received(operation: str = "search", door: str = "http") -> RequestReceived:
    """A call came in through the usual door."""
    return RequestReceived(
        operation=operation, door=door, dialect="tavily", topic="general", depth="basic", max_results=5
    )


def known(client: str = "local-operator") -> CallerAuthenticated:
    """The caller is known."""
    return CallerAuthenticated(client=client, method="loopback")


def answered(**changes: object) -> RequestCompleted:
    """The last word of an answered call: by default a miss that Tavily served."""
    fields: dict[str, object] = {
        "operation": "search",
        "door": "http",
        "client": "local-operator",
        "topic": "general",
        "provider": "tavily",
        "cache": "miss",
        "results": 5,
        "duration_s": 0.5,
        "upstream_s": 0.498,
        "cost": CREDIT,
    }
    return RequestCompleted(**(fields | changes))  # type: ignore[arg-type]


def whose(client: str = "local-operator") -> dict[str, str]:
    """The fields of an attempt that say on whose account it was."""
    return {"operation": "search", "door": "http", "client": client, "topic": "general"}


def refused(error: str, duration_s: float = 0.001, **changes: str) -> RequestFailed:
    """The last word of a call without an answer."""
    fields = {"operation": "search", "door": "http", "client": "local-operator"} | changes
    return RequestFailed(error=error, duration_s=duration_s, **fields)


def hit(client: str = "local-operator", tier: str = "l1") -> tuple[Event, ...]:
    """A search answered from the cache."""
    return (
        received(),
        known(client),
        CacheHit(key="k1", tier=tier, age_s=12.0, saved=CREDIT),
        answered(
            client=client,
            key="k1",
            cache=tier,
            duration_s=0.0004,
            upstream_s=0.0,
            cost=FREE,
            saved=CREDIT,
        ),
    )


def miss(client: str = "local-operator") -> tuple[Event, ...]:
    """A search that Tavily answered."""
    return (
        received(),
        known(client),
        CacheMissed(key="k1", reason="absent"),
        AttemptStarted(provider="tavily", number=1, span_id="a" * 16, estimate=CREDIT, **whose(client)),
        AttemptSucceeded(
            provider="tavily",
            number=1,
            estimate=CREDIT,
            intended_at=NOON + 0.003,
            duration_s=0.498,
            results=5,
            cost=CREDIT,
            **whose(client),
        ),
        ResultCached(key="k1", tiers=("l1",), ttl_s=3600.0, size_bytes=4096),
        answered(client=client, key="k1"),
    )


def fallback() -> tuple[Event, ...]:
    """A search that Tavily failed, whose second provider was passed by, and that the floor answered."""
    return (
        received(),
        known(),
        CacheMissed(key="k2", reason="expired"),
        AttemptStarted(provider="tavily", number=1, span_id="b" * 16, estimate=CREDIT, **whose()),
        AttemptFailed(
            provider="tavily",
            number=1,
            estimate=CREDIT,
            intended_at=NOON + 0.003,
            duration_s=0.2,
            outcome="retryable",
            reason="http_500",
            **whose(),
        ),
        ProviderSkipped(provider="jina", reason="circuit_open"),
        AttemptStarted(provider="local", number=1, span_id="c" * 16, **whose()),
        AttemptSucceeded(provider="local", number=1, duration_s=0.01, results=0, **whose()),
        answered(
            key="k2",
            provider="local",
            results=0,
            duration_s=0.215,
            upstream_s=0.21,
            fallback=True,
            degraded=True,
            cost=FREE,
        ),
    )


def mixture() -> tuple[Sequence[Event], ...]:
    """A few of everything, one sequence an execution."""
    return (hit(), hit("agent"), miss(), fallback(), (received(), refused("rate_limited")), hit(tier="l2"))
