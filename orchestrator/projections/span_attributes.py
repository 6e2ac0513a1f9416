"""What spans say of an execution beside when and how long: attributes, and moments within the call's span.

Names are those of OpenTelemetry's semantic conventions (1.44, and those for MCP and GenAI) where these have
one, otherwise they begin with `amos.`. A value that does not apply is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from orchestrator.events import (
    FREE,
    AttemptEvent,
    AttemptFailed,
    AttemptHedged,
    AttemptStarted,
    AttemptSucceeded,
    CacheHit,
    CacheMissed,
    CallerAuthenticated,
    Cost,
    Envelope,
    FlightJoined,
    ProviderSkipped,
    RefreshStarted,
    RequestCompleted,
    RequestFailed,
    RequestReceived,
    RequestThrottled,
    ResultCached,
    ResultRejected,
    RetryScheduled,
    StaleServed,
)
from orchestrator.history import WARMING, spent

Attributes: TypeAlias = dict[str, str | int | float | bool]

WEB_DOORS = ("http", "console")
"""The doors whose calls are requests of HTTP: of programs, and of the console's pages."""

UNSETTLED = "unsettled"
"""The error of a span whose end was never recorded: its process died in it."""


def call_attributes(
    execution_id: str,
    envelopes: Sequence[Envelope],
    closing: RequestCompleted | RequestFailed | None,
    status: int,
) -> Attributes:
    """Of the call's own span. `closing` is its last word, `None` without one; `status` that of HTTP."""
    received: RequestReceived = envelopes[0].event
    events = [envelope.event for envelope in envelopes]
    known = next((event for event in events if isinstance(event, CallerAuthenticated)), None)
    return _given(
        {
            "amos.execution.id": execution_id,
            "amos.operation": received.operation,
            "amos.door": received.door,
            "amos.dialect": received.dialect,
            "amos.topic": received.topic,
            "amos.depth": received.depth,
            "amos.client": known.client if known else "",
            "amos.auth.method": known.method if known else "",
            "amos.urls": received.url_count or None,
            "amos.attempts": sum(isinstance(event, AttemptStarted) for event in events),
            **_door_attributes(received, 0 if closing is None else status),
            **_closing_attributes(closing),
        }
    )


def refresh_attributes(execution_id: str, envelopes: Sequence[Envelope], error: str) -> Attributes:
    """Of the span of an execution that warming began; `error` as in the span."""
    return _given(
        {
            "amos.execution.id": execution_id,
            "amos.operation": "search",
            "amos.door": WARMING,
            "amos.client": WARMING,
            "amos.attempts": sum(isinstance(envelope.event, AttemptStarted) for envelope in envelopes),
            "amos.error": error,
            **_cost("amos.cost", spent(envelopes)),
        }
    )


def attempt_attributes(started: AttemptStarted, ended: AttemptEvent | None) -> Attributes:
    """Of the span of one call to a provider; `ended` is its outcome, `None` without one."""
    facts: dict[str, str | int | float | bool | None] = {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.data_source.id": started.provider,
        "amos.provider": started.provider,
        "amos.attempt.number": started.number,
        "amos.operation": started.operation,
        "amos.client": started.client,
        "amos.topic": started.topic,
    }
    match ended:
        case AttemptSucceeded() as done:
            facts |= {"amos.attempt.outcome": "success" if done.results else "empty"}
            facts |= {"amos.results": done.results, **_cost("amos.cost", done.cost)}
            facts |= _cost("amos.assumed", done.assumed)
        case AttemptFailed() as failed:
            facts |= {"amos.attempt.outcome": failed.outcome, **_cost("amos.cost", failed.cost)}
            facts |= _cost("amos.assumed", failed.assumed)
        case _:
            facts |= {"amos.attempt.outcome": UNSETTLED, **_cost("amos.assumed", started.estimate)}
    return _given(facts)


def moment_of(event: object) -> Iterator[tuple[str, Attributes]]:
    """The name and attributes of what a reader of a trace wants to see of an event; for most events none."""
    yield from _cache_moment(event)
    match event:
        case AttemptHedged() as hedged:
            yield "amos.attempt.hedged", {"amos.provider": hedged.provider, "amos.after_s": hedged.after_s}
        case FlightJoined() as joined:
            yield "amos.flight.joined", {"amos.leader": joined.leader}
        case RetryScheduled() as retry:
            told: Attributes = {"amos.provider": retry.provider, "amos.backoff_s": retry.backoff_s}
            yield "amos.retry.scheduled", told | {"amos.reason": retry.reason}
        case ProviderSkipped() as skipped:
            yield "amos.provider.skipped", {"amos.provider": skipped.provider, "amos.reason": skipped.reason}
        case ResultRejected() as rejected:
            told = {"amos.provider": rejected.provider, "amos.reason": rejected.reason}
            yield "amos.result.rejected", told | {"amos.dropped": rejected.dropped}
        case RequestThrottled() as throttled:
            yield "amos.request.throttled", {"amos.window": throttled.window}
        case _:
            pass


def _cache_moment(event: object) -> Iterator[tuple[str, Attributes]]:
    match event:
        case CacheHit() as hit:
            yield "amos.cache.hit", {"amos.cache.tier": hit.tier, "amos.cache.age_s": hit.age_s}
        case CacheMissed() as missed:
            yield "amos.cache.missed", {"amos.reason": missed.reason}
        case ResultCached() as stored:
            tiers = ",".join(stored.tiers)
            yield "amos.cache.stored", {"amos.cache.tiers": tiers, "amos.cache.ttl_s": stored.ttl_s}
        case StaleServed() as stale:
            told: Attributes = {"amos.cache.tier": stale.tier, "amos.cache.age_s": stale.age_s}
            yield "amos.cache.stale", told | {"amos.reason": stale.cause}
        case RefreshStarted() as refresh:
            yield "amos.cache.refresh_started", {"amos.reason": refresh.cause}
        case _:
            pass


def _door_attributes(received: RequestReceived, status: int) -> dict[str, str | int | float | bool | None]:
    if received.door in WEB_DOORS:
        return {
            "http.request.method": received.method,
            "http.route": received.target,
            "http.response.status_code": status or None,
        }
    if received.door == "mcp":
        return {
            "mcp.method.name": received.method,
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": received.target,
        }
    return {}


def _closing_attributes(
    closing: RequestCompleted | RequestFailed | None,
) -> dict[str, str | int | float | bool | None]:
    match closing:
        case RequestCompleted() as done:
            return {
                "amos.cache": done.cache,
                "amos.provider": done.provider,
                "amos.results": done.results,
                "amos.upstream_s": done.upstream_s,
                "amos.fallback": done.fallback,
                "amos.degraded": done.degraded or None,
                "amos.stale": done.stale or None,
                **_cost("amos.cost", done.cost),
                **_cost("amos.saved", done.saved),
            }
        case RequestFailed() as failed:
            return {"amos.error": failed.error, "amos.upstream_s": failed.upstream_s}
        case _:
            return {"amos.error": UNSETTLED}


def _cost(name: str, cost: Cost) -> dict[str, str | int | float | bool | None]:
    if cost == FREE:
        return {}
    return {f"{name}.usd_micros": cost.usd_micros, f"{name}.amount": cost.amount, f"{name}.unit": cost.unit}


def _given(facts: dict[str, str | int | float | bool | None]) -> Attributes:
    return {name: value for name, value in facts.items() if value is not None and value != ""}
