"""Which spans must be exported of given facts, and what they say, counted as naive_fold.py does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

from tests.support.naive_fold import Fact, micros, of, refreshes, streams
from tests.support.otlp_receiver import TakenSpan

Span = dict[str, Any]

CALL = {
    "amos.client": "client",
    "amos.cache": "cache",
    "amos.provider": "provider",
    "amos.results": "results",
}
"""Attributes of a call's span, and the fields of its last word that they repeat."""


def shown(taken: Iterable[TakenSpan]) -> list[Span]:
    """What arrived at a collector, in an order of its own."""
    return _ordered(
        {
            "trace": span.trace_id,
            "id": span.span_id,
            "parent": span.parent_id,
            "kind": span.kind,
            "error": span.attributes.get("error.type", "") if span.status == "error" else "",
            "us": round((span.end_ns - span.start_ns) / 1_000),
            **{
                name: span.attributes.get(name, "")
                for name in (*CALL, "amos.operation", "amos.attempt.outcome", "amos.error")
            },
            **{
                name: span.attributes.get(f"amos.{name}.usd_micros", 0)
                for name in ("cost", "assumed", "saved")
            },
        }
        for span in taken
    )


def counted(facts: Sequence[Fact], statuses: Mapping[str, int]) -> list[Span]:
    """The spans of these facts, when nothing is under way. `statuses` are those of the failures."""
    spans = [span for stream, own in streams(facts).items() for span in _of(stream, own, statuses)]
    spans += [span for stream, own in refreshes(facts).items() for span in _refresh(stream, own)]
    return _ordered(spans)


def _of(stream: str, own: Sequence[Fact], statuses: Mapping[str, int]) -> Iterable[Span]:
    received = own[0]
    call_id = stream.replace("-", "")[-16:]
    ends = of(own, "request.completed", "request.failed")
    end = ends[0] if ends else {"error": "unsettled", "client": of(own, "caller.authenticated")[0]["client"]}
    error = end.get("error", "")
    yield {
        "trace": received["trace_id"],
        "id": call_id,
        "parent": received.get("parent_span_id", ""),
        "kind": "internal" if received["door"] == "cli" else "server",
        "error": error if statuses.get(error, 500) >= 500 else "",
        "us": _us(end["duration_s"] if ends else own[-1]["at"] - own[0]["at"]),
        **{name: end.get(field, "") for name, field in CALL.items()},
        "amos.operation": received["operation"],
        "amos.attempt.outcome": "",
        "amos.error": error,
        "cost": micros(end, "cost"),
        "assumed": 0,
        "saved": micros(end, "saved"),
    }
    yield from _attempts(own, received["trace_id"], call_id)


def _refresh(stream: str, own: Sequence[Fact]) -> Iterable[Span]:
    """Without a caller: it has refreshed something or failed, and it ends with its last fact."""
    trace_id = stream.replace("-", "")
    error = "" if of(own, "cache.stored", "flight.joined") else "search_failed"
    yield {
        "trace": trace_id,
        "id": trace_id[-16:],
        "parent": "",
        "kind": "internal",
        "error": error,
        "us": pytest.approx((own[-1]["at"] - own[0]["at"]) * 1e6, abs=1),
        **dict.fromkeys(CALL, ""),
        "amos.client": "warming",
        "amos.operation": "search",
        "amos.attempt.outcome": "",
        "amos.error": error,
        "cost": sum(micros(fact, "cost") for fact in own),
        "assumed": 0,
        "saved": 0,
    }
    yield from _attempts(own, trace_id, trace_id[-16:])


def _attempts(own: Sequence[Fact], trace_id: str, call_id: str) -> Iterable[Span]:
    outcomes = {
        (fact["provider"], fact["number"]): fact for fact in of(own, "attempt.succeeded", "attempt.failed")
    }
    for started in of(own, "attempt.started"):
        outcome = outcomes.get((started["provider"], started["number"]))
        yield _attempt(started, outcome, trace_id, call_id)


def _attempt(started: Fact, outcome: Fact | None, trace_id: str, call_id: str) -> Span:
    if outcome is None:
        error = judgement = "unsettled"
        assumed = micros(started, "estimate")
    else:
        error = outcome.get("reason", "")
        judgement = outcome.get("outcome", "") or ("success" if outcome["results"] else "empty")
        assumed = micros(outcome, "assumed")
    return {
        "trace": trace_id,
        "id": started["span_id"],
        "parent": call_id,
        "kind": "client",
        "error": error,
        "us": _us(outcome["duration_s"] if outcome else 0.0),
        "amos.client": started["client"],
        "amos.cache": "",
        "amos.provider": started["provider"],
        "amos.results": outcome.get("results", "") if outcome else "",
        "amos.operation": started["operation"],
        "amos.attempt.outcome": judgement,
        "amos.error": "",
        "cost": micros(outcome, "cost") if outcome else 0,
        "assumed": assumed,
        "saved": 0,
    }


def _us(duration_s: float) -> Any:
    """Microseconds, one more or less: moments are rounded to nanoseconds."""
    return pytest.approx(duration_s * 1e6, abs=1)


def _ordered(spans: Iterable[Span]) -> list[Span]:
    return sorted(spans, key=lambda span: str(span["id"]))
