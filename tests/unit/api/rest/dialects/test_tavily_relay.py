"""Bodies that are passed on: whatever the bytes, a request or a refusal that says what is wrong."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.rest.dialects.tavily_relay import parse_relay, parse_status, render_relay
from orchestrator.errors import InvalidRequest
from orchestrator.model import Response
from orchestrator.relays import OPERATIONS, RESEARCH_STATUS


@given(st.sampled_from(OPERATIONS), st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
def test_any_bytes_are_parsed_or_refused(operation, body):
    """Never anything but a request or InvalidRequest."""
    try:
        asked = parse_relay(operation, body)
    except InvalidRequest:
        return
    assert asked.request.operation == operation


@given(st.text(max_size=50), st.binary(max_size=50))
def test_any_query_is_parsed_or_refused(task, query_string):
    """Likewise."""
    try:
        asked = parse_status(task, query_string)
    except InvalidRequest:
        return
    assert (asked.request.operation, asked.request.task) == (RESEARCH_STATUS, task)


def test_ours_is_taken_out():
    """Key and wish for usage are for us, nulls are nothing; the rest is left as it is."""
    body = {"url": "a.example", "api_key": "tvly-x", "include_usage": True, "limit": None, "new": {"x": [1]}}

    asked = parse_relay("map", json.dumps(body).encode())

    assert asked.request.body == {"url": "a.example", "new": {"x": [1]}}
    assert (asked.credential, asked.request.wants_usage) == ("tvly-x", True)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"[]", "must be a JSON object"),
        (b'{"api_key": 7}', "^api_key: expected a string"),
        (b'{"include_usage": "yes"}', "^include_usage: expected true or false"),
        (b'{"a": ' * 20 + b"1" + b"}" * 20, "nested deeper"),
    ],
)
def test_what_is_wrong_is_said(body, sentence):
    """With the field, if it is one."""
    with pytest.raises(InvalidRequest, match=sentence):
        parse_relay("map", body)


def test_a_wish_that_is_none():
    """Of a URL, too."""
    assert parse_status("t", b"include_usage=TRUE&x=1").wants_usage
    with pytest.raises(InvalidRequest, match=r"^include_usage"):
        parse_status("t", b"include_usage=1")


@pytest.mark.parametrize("fragment", [b"", b'"a":1'])
def test_the_answer_is_json_whatever_is_in_it(fragment):
    """Also if Tavily had nothing to say."""
    response = Response(fragment=fragment, result_count=0, provider="tavily", cache="relayed")

    body = json.loads(render_relay(response, execution_id="e"))

    assert body["amos"]["execution_id"] == "e"
