"""What decides where a request leads and what it costs is looked at; the rest is Tavily's to judge."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import CallerError, InvalidRequest, NotOffered, TaskNotFound
from orchestrator.filters.validate_relay import check_relay
from orchestrator.relays import OPERATIONS, RelayRequest
from tests.support.fuzzing import patient

SITE = "https://almanac.example"

OWN_ID = "01936f6e-7a1b-7c3d-8e4f-5a6b7c8d9e0f"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    (
        *("url", "instructions", "max_depth", "limit", "timeout", "input", "model", "stream", "request_id"),
        *("extract_depth", "select_paths", "include_domains", "citation_format", "brand_new"),
    )
)


def request(operation, **body):
    """A request with this body."""
    return RelayRequest(operation=operation, body=body)


@pytest.mark.parametrize(
    "asked",
    [
        request("map", url="almanac.example"),
        request("map", url="almanac.example/?next=https://other.example/"),
        request("map", url=f"{SITE}/docs?q=1", max_depth=5, max_breadth=500, limit=10_000, timeout=1.0),
        request("crawl", url=SITE, extract_depth="advanced", brand_new={"deep": [1]}),
        request("research", input="tides", model="auto", stream=False, include_domains=["a.example"] * 20),
        RelayRequest(operation="research_status", task=f"{OWN_ID}.0123abcd0123abcd"),
        request("feedback", session_id="s", comment="good"),
    ],
)
def test_what_is_right_is_left_as_it_is(asked):
    """Nothing is changed, unknown fields least of all."""
    assert check_relay(asked) == (asked, ())


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (request("map"), "url"),
        (request("map", url=7), "url"),
        (request("map", url="http://10.0.0.1/"), "url"),
        (request("map", url="10.0.0.1"), "url"),
        (request("map", url="10.0.0.1/?next=https://other.example/"), "url"),
        (request("map", url="//10.0.0.1"), "url"),
        (request("map", url="http://user:pass@almanac.example"), "url"),
        (request("crawl", url="file:///etc/passwd"), "url"),
        (request("crawl", url=SITE, limit=10_001), "limit"),
        (request("crawl", url=SITE, limit=True), "limit"),
        (request("crawl", url=SITE, max_depth=0), "max_depth"),
        (request("crawl", url=SITE, instructions=["x"]), "instructions"),
        (request("crawl", url=SITE, timeout=float("inf")), "timeout"),
        (request("crawl", url=SITE, timeout="10"), "timeout"),
        (request("crawl", url=SITE, timeout=0.9), "timeout"),
        (request("map", url=SITE, select_paths="/a"), "select_paths"),
        (request("research"), "input"),
        (request("research", input=["tides"]), "input"),
        (request("research", input="tides", stream="yes"), "stream"),
        (request("research", input="tides", citation_format="bibtex"), "citation_format"),
        (request("feedback"), "request_id"),
        (request("feedback", request_id=7), "request_id"),
    ],
)
def test_what_is_wrong_is_named(asked, field):
    """The field, and in the sentence too."""
    with pytest.raises(InvalidRequest, match=rf"^{field}: ") as refused:
        check_relay(asked)

    assert refused.value.field == field


def test_what_we_cannot_do_is_said():
    """A stream nobody takes, and feedback on what is ours: ids of executions are of version 7."""
    for asked in (request("research", input="tides", stream=True), request("feedback", request_id=OWN_ID)):
        with pytest.raises(NotOffered):
            check_relay(asked)
    check_relay(request("feedback", request_id=OWN_ID.replace("-7c", "-4c")))


@pytest.mark.parametrize("task", ["", "a/b", "..%2f", "x" * 201, "a b", "ü"])
def test_what_is_no_id_is_no_task(task):
    """It is not even looked at."""
    with pytest.raises(TaskNotFound):
        check_relay(RelayRequest(operation="research_status", task=task))


@patient
@given(st.sampled_from(OPERATIONS), st.dictionaries(FIELDS, JSON.filter(lambda value: value is not None)))
def test_any_body_is_checked_or_refused(operation, body):
    """Whatever JSON a caller sends."""
    asked = RelayRequest(operation=operation, body=body)
    with contextlib.suppress(CallerError):
        check_relay(asked)

    assert asked.body is body
    assert asked.patience_s is None or asked.patience_s > 0
    assert isinstance(asked.depth, str)
