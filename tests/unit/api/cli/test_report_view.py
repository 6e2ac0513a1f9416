"""Reports and events as a person sees them."""

from __future__ import annotations

from api.cli.events_view import event_line, execution_view, short_name
from api.cli.quantities import moment
from api.cli.report_view import report_view
from tests.support.rendering import rendered


def test_figures_come_before_tables():
    """Single figures are lines with their unit, a list of objects is a table with a column for each name."""
    report = {
        "requests": 1200,
        "hit_ratio": 0.5,
        "groups": [{"provider": "jina", "p95_s": 0.25}, {"provider": "x\x1b[2J"}],
    }

    lines = [line.rstrip() for line in rendered(report_view(report)).splitlines()]

    assert lines[:2] == ["requests  1,200", "hit rate  50.0 %"]
    assert [line.split() for line in lines if "jina" in line] == [["jina", "250", "ms"]]
    assert any(line.split() == ["x\ufffd[2J", "-"] for line in lines)


def test_an_empty_table_says_so():
    """A window without calls is a sentence, not an empty frame."""
    assert "groups  none" in rendered(report_view({"groups": []}))


def test_an_object_within_is_a_section():
    """The figures of an object within stand below its name; an empty object is a dash."""
    text = rendered(report_view({"since": 0, "requests": {"total": 2, "errors": {}}}))

    lines = [line.split() for line in text.splitlines()]
    assert lines[0] == ["since", *moment(0).split()]
    assert lines[2:] == [["requests"], ["total", "2"], ["errors", "-"]]


def test_an_event_is_a_line():
    """Time, stream, the name without area and version, and the fields; a cache key tells nobody anything."""
    event = {
        "type": "amos.attempt.failed.v1",
        "provider": "tavily",
        "duration_s": 0.5,
        "pid": 20091,
        "reason": "a\x1bb",
        "key": "f00",
    }

    line = rendered(event_line(0.0, "0199", event), width=200)

    assert "0199" in line
    assert "attempt.failed" in line
    assert "provider=tavily duration=500 ms pid=20091 reason=a\ufffdb" in line
    assert "f00" not in line


def test_a_price_is_shown_as_one():
    """What a call costs is its amount in the provider's unit, and money."""
    event = {
        "type": "amos.attempt.started.v1",
        "estimate": {"amount": 0.2, "unit": "credits", "usd_micros": 1600},
    }

    assert "estimate=0.2 credits ($0.0016)" in rendered(event_line(0.0, "0199", event), width=200)


def test_a_foreign_event_keeps_its_name():
    """A type that is not built like ours is shown whole."""
    assert short_name("amos.cache.hit.v1") == "cache.hit"
    assert short_name("other") == "other"


def test_an_execution_is_a_story():
    """Events with the time since the first, then the sentences that explain the end."""
    body = {
        "execution_id": "0199",
        "events": [
            {"seq": 1, "at": 10.0, "event": {"type": "amos.request.received.v1", "operation": "search"}},
            {"seq": 2, "at": 10.0125, "event": {"type": "amos.cache.hit.v1", "tier": "l1"}},
        ],
        "explanation": {"why": ["Cache tier l1 had the answer."]},
    }

    lines = [line.rstrip() for line in rendered(execution_view(body)).splitlines()]

    assert lines[0] == "0199"
    assert "12.5 ms  cache.hit" in lines[3]
    assert lines[-1] == "  Cache tier l1 had the answer."
