"""The accounts by which days are judged can say no: each kind of mistake in them is found."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.support.availability import Ended, differences, explained, is_useful
from tests.support.bill_by_call import bill
from tests.support.steady_load import PATIENCE_S, Asked

STALE = Asked(
    query="tide tables",
    is_new=False,
    phase="both down",
    trouble="tavily 500, jina hang",
    at=0.0,
    duration_s=0.02,
    status=200,
    execution_id="e1",
    cache="l1",
    age_s=42.7,
    age_header="42",
    results=5,
    is_stale=True,
)
"""An old answer that says so."""

INTENT: dict[str, Any] = {
    "kind": "attempt.started",
    "stream": "e1",
    "provider": "tavily",
    "number": 1,
    "span_id": "abc",
    "estimate": {"amount": 1.0, "unit": "credits"},
}

ANSWERED: dict[str, Any] = {
    "kind": "attempt.succeeded",
    "stream": "e1",
    "provider": "tavily",
    "number": 1,
    "cost": {"amount": 1.0, "unit": "credits"},
}

CALL: dict[str, Any] = {
    "method": "POST",
    "path": "/search",
    "headers": {"traceparent": "00-0123-abc-01"},
    "billed": 1.0,
}


def test_a_stale_answer_counts_if_it_says_its_age():
    """An old answer is useful within the time that the policy allows."""
    assert is_useful(STALE, stale_age_s_max=60.0)


@pytest.mark.parametrize(
    "fields",
    [
        {"age_s": 400.0, "age_header": "400"},
        {"age_header": ""},
        {"age_s": 0.0, "age_header": "0"},
        {"is_stale": False, "is_degraded": True},
        {"is_stale": False, "results": 0},
        {"duration_s": PATIENCE_S + 0.1},
        {"status": 503},
        {"status": 0},
    ],
    ids=["too old", "ageless", "not old", "local", "empty", "late", "refused", "cut off"],
)
def test_what_does_not_help_does_not_count(fields: dict[str, Any]):
    """Everything else that is given in place of a fresh answer is not useful."""
    assert not is_useful(msgspec.structs.replace(STALE, **fields), stale_age_s_max=60.0)


def test_callers_and_log_agree():
    """No difference is found where there is none."""
    assert differences([STALE], {"e1": Ended("stale", 0.01)}) == []


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ({"e1": Ended("fetched", 0.01)}, "e1: the caller saw stale, the log has fetched"),
        ({}, "e1: answered with stale, not in the log"),
        ({"e1": Ended("stale", 0.01), "e2": Ended("fetched", 0.01)}, "1 executions were not answered"),
    ],
    ids=["another end", "no end", "nobody's end"],
)
def test_callers_and_log_differ(ends: dict[str, Ended], words: str):
    """A call that ended otherwise, one not in the log, and an execution that nobody asked for are found."""
    (difference,) = differences([STALE], ends)

    assert words in difference


def test_a_call_that_was_not_useful_is_explained():
    """Whoever reads the output learns what was down, what was tried, and which execution to look at."""
    refused = msgspec.structs.replace(STALE, status=503, error="No provider.")
    tries = ("tavily http_500", "jina skipped: circuit_open")

    (line,) = explained([refused], {"e1": Ended("503", 0.01, tries)})

    assert all(words in line for words in ("tavily 500, jina hang", *tries, "repeated", "503", "e1"))


def test_the_books_agree():
    """A call with its intent and its bill makes no difference, nor does an intent nobody heard of."""
    lost = {**INTENT, "number": 2, "span_id": "def"}

    books = bill("tavily", [INTENT, ANSWERED, lost], [CALL])

    assert books.differences == ()
    assert (books.attempts, books.calls, books.billed, books.told, books.assumed) == (2, 1, 1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("facts", "call", "words"),
    [
        ([], CALL, "has no intent"),
        ([INTENT, ANSWERED], {**CALL, "billed": 2.0}, "was billed 2, recorded are 1 spent"),
        ([INTENT, ANSWERED], {**CALL, "billed": 0.0}, "was billed 0, recorded are 1 spent"),
        ([INTENT], {**CALL, "billed": 2.0}, "(no outcome) was billed 2"),
        ([INTENT, {**ANSWERED, "cost": {}}], CALL, "was billed 1, recorded are 0 spent"),
    ],
    ids=["no intent", "too little", "too much", "assumed too little", "free"],
)
def test_the_books_differ(facts: list[dict[str, Any]], call: dict[str, Any], words: str):
    """A call without an intent, and one whose bill is not what is recorded of it, are found."""
    (difference,) = bill("tavily", facts, [call]).differences

    assert words in difference
