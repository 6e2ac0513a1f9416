"""The outermost stage: every call has a first and a last word in the log, however it ends.

The answer leaves only when its frame is durable. A call that is cancelled has nobody waiting: its frame is
handed to the journal and not waited for. Calls of strangers, and those there is no room for, are only
counted: they must not fill the disk, and a refusal must be cheap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from orchestrator.errors import UNRECORDED, GatewayError
from orchestrator.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CacheHit,
    CacheMissed,
    CallerAuthenticated,
    Envelope,
    RequestCompleted,
    RequestFailed,
    RequestReceived,
    StaleServed,
)
from orchestrator.history import saved
from orchestrator.model import DEPTHS, TOPICS, Call, ExtractRequest, RequestT, Response, SearchRequest
from orchestrator.ports import Clock, FactSink
from orchestrator.relays import OF_PAGES, RelayRequest
from orchestrator.service import Service

_KEYED = (CacheHit, CacheMissed, StaleServed)  # a union written below would be built for each event


class RecordFilter:
    """Records RequestReceived, then RequestCompleted or RequestFailed, and commits."""

    def __init__(self, clock: Clock, facts: FactSink) -> None:
        self._clock = clock
        self._facts = facts

    async def __call__(self, call: Call[RequestT], service: Service[RequestT, Response]) -> Response:
        """Answer as the inner stages do. Raises EventLogUnavailable when the facts cannot be made durable."""
        begun = self._clock.monotonic()
        call.trail.record(_received(call))
        try:
            response = await service(call)
        except UNRECORDED as refused:
            self._facts.count_refusal(refused.reason)
            raise
        except asyncio.CancelledError:
            call.trail.record(self._failed(call, "cancelled", begun))
            call.trail.commit_soon()
            raise
        except Exception as error:
            code = error.code if isinstance(error, GatewayError) else "internal_error"
            call.trail.record(self._failed(call, code, begun))
            await call.trail.commit()
            raise
        call.trail.record(self._completed(call, response, begun))
        await call.trail.commit()
        return response

    def _completed(self, call: Call[RequestT], response: Response, begun: float) -> RequestCompleted:
        received, client = _opening(call)
        return RequestCompleted(
            operation=received.operation,
            door=received.door,
            client=client,
            topic=received.topic,
            key=_key(call),
            provider=response.provider,
            cache=response.cache,
            results=response.result_count,
            duration_s=self._clock.monotonic() - begun,
            upstream_s=upstream_s(call.trail.events, self._clock.now()),
            degraded=response.is_degraded,
            stale=response.is_stale,
            fallback=response.is_fallback,
            cost=response.cost,
            saved=saved(call.trail.events),
        )

    def _failed(self, call: Call[RequestT], code: str, begun: float) -> RequestFailed:
        received, client = _opening(call)
        return RequestFailed(
            operation=received.operation,
            door=received.door,
            client=client,
            topic=received.topic,
            key=_key(call),
            error=code,
            duration_s=self._clock.monotonic() - begun,
            upstream_s=upstream_s(call.trail.events, self._clock.now()),
        )


def upstream_s(events: Sequence[Envelope], now: float) -> float:
    """Seconds during which at least one attempt was waiting for a provider.

    Attempts of one execution may overlap. One that is still under way, because the caller has left or was
    told "too late", counts until `now`.
    """
    spans: list[tuple[float, float]] = []
    under_way: dict[tuple[str, int], float] = {}
    for envelope in events:
        match envelope.event:
            case AttemptStarted() as started:
                under_way[started.provider, started.number] = envelope.at
            case AttemptSucceeded() | AttemptFailed() as ended:
                under_way.pop((ended.provider, ended.number), None)
                spans.append((envelope.at - ended.duration_s, envelope.at))
            case _:
                pass
    spans += ((begin, now) for begin in under_way.values())
    total, reached = 0.0, 0.0
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def _opening(call: Call[RequestT]) -> tuple[RequestReceived, str]:
    """What the first events of the call say: the request, and the client (`""` if it was never known)."""
    events = call.trail.events
    for envelope in events:
        known = envelope.event
        if isinstance(known, CallerAuthenticated):
            return events[0].event, known.client
    return events[0].event, ""


def _key(call: Call[RequestT]) -> str:
    """The cache key of a search, `""` before the cache has seen it; an extract has one for each page."""
    if isinstance(call.request, SearchRequest):
        for envelope in reversed(call.trail.events):  # for a hit it is the last
            if isinstance(envelope.event, _KEYED):
                return envelope.event.key
    return ""


def _received(call: Call[RequestT]) -> RequestReceived:
    """The first word. Nothing is validated yet: a topic or depth that is none is not taken into the log."""
    request, caller = call.request, call.caller
    if isinstance(request, SearchRequest):
        return RequestReceived(
            operation="search",
            door=caller.door,
            method=caller.method,
            target=caller.target,
            dialect=caller.dialect,
            topic=_known(request.category, TOPICS),
            depth=_known(request.depth, DEPTHS),
            max_results=request.limit,
            trace_id=call.trail.trace_id,
            parent_span_id=caller.parent_span_id,
        )
    assert isinstance(request, ExtractRequest | RelayRequest)
    return RequestReceived(
        operation=request.operation,
        door=caller.door,
        method=caller.method,
        target=caller.target,
        dialect=caller.dialect,
        depth=_known(request.depth, DEPTHS),
        url_count=_url_count(request),
        trace_id=call.trail.trace_id,
        parent_span_id=caller.parent_span_id,
    )


def _url_count(request: ExtractRequest | RelayRequest) -> int:
    return len(request.urls) if isinstance(request, ExtractRequest) else int(request.operation in OF_PAGES)


def _known(value: str, values: Sequence[str]) -> str:
    return value if value in values else ""
