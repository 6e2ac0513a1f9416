"""The line of an execution: what it says of each way to end, at which level, and what it keeps to itself."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.events import AttemptStarted, RefreshStarted, ResultCached, StaleServed
from orchestrator.projections.log_lines import ERROR, INFO, WARNING, Line, execution_line, word
from orchestrator.projections.sentences import seconds
from tests.support.histories import (
    CREDIT,
    NOON,
    answered,
    fallback,
    hit,
    known,
    miss,
    numbered,
    refused,
    whose,
)
from tests.support.histories import received as usual_received

ID = "0198c0de-0000-7000-8000-00000000000a"


def status_of(code: str, target: str) -> int:
    """The statuses of these tests."""
    return {"all_providers_failed": 503, "rate_limited": 429}.get(code, 500)


def line_of(events, **changes: Any) -> Line:
    """The line of these events; there is one."""
    line = execution_line(ID, "w-1", numbered(events), status_of, **changes)
    assert line is not None
    return line


def test_a_miss_tells_who_asked_what_came_of_it_and_what_it_cost():
    """Everything that is asked of logs, under ECS's names and those of traces."""
    line = line_of(miss("acme"))

    assert line.message == "search by acme at http: 5 results from tavily (miss) in 0.5 s"
    assert (line.level, line.at, line.node) == (INFO, NOON + 0.006, "w-1")
    assert line.fields == {
        "event": {
            "kind": "event",
            "category": ["web"],
            "type": ["access"],
            "dataset": "amos.execution",
            "id": ID,
            "action": "search",
            "outcome": "success",
            "duration": 500_000_000,
        },
        "user": {"name": "acme"},
        "trace": {"id": ID.replace("-", "")},
        "span": {"id": "800000000000000a"},
        "http": {"response": {"status_code": 200}},
        "amos": {
            "door": "http",
            "topic": "general",
            "dialect": "tavily",
            "attempts": 1,
            "cost": {"usd_micros": 8_000, "amount": 1.0, "unit": "credits"},
            "cache": "miss",
            "results": 5,
            "provider": "tavily",
        },
    }


def test_a_hit_tells_its_tier_and_what_it_saved():
    """It has no attempts and no cost."""
    line = line_of(hit())

    assert line.message.endswith("5 results from cache l1 in 0.000400 s")
    assert line.fields["amos"]["saved"]["usd_micros"] == CREDIT.usd_micros
    assert not {"attempts", "cost", "failures"} & line.fields["amos"].keys()


def test_an_answer_that_is_not_as_meant_is_a_warning():
    """A fallback is one, with the reason why."""
    line = line_of(fallback())

    assert line.level == WARNING
    assert "after failures (tavily: http_500)" in line.message
    assert line.fields["amos"]["failures"] == ["tavily: http_500"]
    assert line.fields["event"]["outcome"] == "success"


@pytest.mark.parametrize(("cause", "level"), [("revalidating", INFO), ("error", WARNING), ("quota", WARNING)])
def test_an_old_answer_is_a_warning_unless_it_was_meant(cause, level):
    """Stale while revalidating is how the cache works; stale because nobody answers is not."""
    stale = StaleServed(key="k", tier="l1", age_s=9.0, cause=cause)
    line = line_of((usual_received(), known(), stale, answered(cache="l1", stale=True)))

    assert line.level == level
    assert line.fields["amos"]["stale_cause"] == cause
    assert f"stale: {cause}" in line.message


@pytest.mark.parametrize(
    ("error", "level", "status", "verb"),
    [("rate_limited", INFO, 429, "refused"), ("all_providers_failed", ERROR, 503, "failed")],
)
def test_a_failure_is_an_error_only_if_it_is_ours(error, level, status, verb):
    """What the caller does wrong wakes nobody."""
    line = line_of((usual_received(), known(), refused(error)))

    assert line.level == level
    assert line.fields["event"]["outcome"] == "failure"
    assert line.fields["event"]["type"] == ["error" if level == ERROR else "access"]
    assert line.fields["error"] == {"code": error}
    assert line.fields["http"]["response"]["status_code"] == status
    assert f"{verb} with {error}" in line.message


def test_without_its_last_word_there_is_no_line_until_it_is_over():
    """Then the outcome is unknown, and the price of the open attempt assumed."""
    begun = miss()[:4]

    assert execution_line(ID, "w-1", numbered(begun), status_of) is None

    line = line_of(begun, is_over=True)
    assert (line.level, line.fields["event"]["outcome"]) == (WARNING, "unknown")
    assert "duration" not in line.fields["event"]
    assert line.fields["amos"]["assumed"]["usd_micros"] == 8_000


def test_a_last_word_without_its_beginning_is_a_line_without_a_trace():
    """The trace may have been the caller's: no id is better than a wrong one."""
    line = line_of(miss()[4:])

    assert line.message.startswith("search by local-operator at http: 5 results")
    assert not {"trace", "span", "http"} & line.fields.keys()


def test_the_trace_of_the_caller_is_kept():
    """A line is found by the id that the caller has sent."""
    received = usual_received().__class__(operation="search", door="mcp", trace_id="ab" * 16)

    line = line_of((received, known(), answered(door="mcp")))

    assert line.fields["trace"]["id"] == "ab" * 16
    assert "http" not in line.fields


@pytest.mark.parametrize(("door", "is_web"), [("http", True), ("console", True), ("cli", False)])
def test_a_call_of_the_web_has_its_method_and_status(door, is_web):
    """Of programs and of the console's pages, as in traces."""
    received = usual_received().__class__(operation="search", door=door, method="GET", target="/")

    line = line_of((received, known(), answered(door=door)))

    told = {"request": {"method": "GET"}, "response": {"status_code": 200}}
    assert line.fields.get("http") == (told if is_web else None)


@pytest.mark.parametrize(
    ("is_warm", "level", "outcome"), [(True, INFO, "success"), (False, WARNING, "failure")]
)
def test_warming_has_a_line_when_no_attempt_is_open(is_warm, level, outcome):
    """It has no caller and no last word."""
    begin = RefreshStarted(key="k", cause="warming")
    attempt = AttemptStarted(
        provider="tavily", number=1, span_id="a" * 16, estimate=CREDIT, **whose("warming")
    )
    ended = miss("warming")[4]
    stored = ResultCached(key="k", tiers=("l1",), ttl_s=1.0, size_bytes=1)

    assert execution_line(ID, "w-1", numbered((begin, attempt)), status_of) is None
    assert line_of((begin, attempt), is_over=True).fields["event"]["outcome"] == "unknown"

    line = line_of((begin, attempt, ended, *([stored] if is_warm else [])))
    assert (line.level, line.fields["event"]["outcome"], line.fields["user"]["name"]) == (
        level,
        outcome,
        "warming",
    )


def test_a_duration_is_readable():
    """Whether it is an hour or a microsecond."""
    told = [seconds(each) for each in (3_600.0, 12.34, 0.00213, 0.0000123, 0.0)]

    assert told == ["3600 s", "12.3 s", "0.00213 s", "0.000012 s", "0.000000 s"]


def test_a_name_is_printable_and_short():
    """Whoever chose it: line feeds, escapes and what turns text round are made visible."""
    assert word("a\nb\x1b[31m\u202e\ud800") == "a\\nb\\x1b[31m\\u202e\\ud800"
    assert len(word("x" * 500)) == len(word("\n" * 500)) == 100
    assert word("Zoë 東京") == "Zoë 東京"
