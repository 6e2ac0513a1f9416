"""What is passed on to Tavily costs what its price list says, unless it says otherwise itself."""

from __future__ import annotations

import json

import msgspec
import pytest

from orchestrator.events import FREE
from orchestrator.providers import tavily_relay_wire as wire
from orchestrator.relays import RelayRequest

SITE = "https://almanac.example"


def request(operation, **body):
    """A request with this body."""
    return RelayRequest(operation=operation, body=body, wants_usage=bool(body.pop("wants_usage", False)))


@pytest.mark.parametrize(
    ("asked", "credit_count"),
    [
        (request("map", url=SITE), 5),
        (request("map", url=SITE, limit=1), 1),
        (request("map", url=SITE, limit=101, instructions="tides"), 21),
        (request("crawl", url=SITE), 5 + 10),
        (request("crawl", url=SITE, limit=10, extract_depth="advanced"), 1 + 4),
        (request("crawl", url=SITE, limit=6, instructions="tides"), 2 + 2),
        (request("crawl", url=SITE, limit="many", extract_depth=3), 5 + 20),
        (request("research", input="tides", model="mini"), 110),
        (request("research", input="tides"), 250),
        (request("research", input="tides", model=[1]), 250),
    ],
)
def test_the_most_it_may_cost(asked, credit_count):
    """As many pages as are asked for, 50 if nobody says; of a research the end of its range."""
    assert wire.estimate(asked).amount == credit_count
    assert wire.estimate(asked).usd_micros == credit_count * 8_000


@pytest.mark.parametrize("operation", ["research_status", "feedback"])
def test_looking_and_saying_are_free(operation):
    """Nobody bills them."""
    assert wire.estimate(request(operation)) == FREE


def test_what_another_gateway_says_of_itself_is_left_out():
    """The member `amos` of an answer is ours alone: it would stand there twice."""
    answer = {"results": [], "amos": {"provider": "jina"}}

    told, _ = wire.read(json.dumps(answer).encode(), request("map", url=SITE), is_pending=False)

    assert told.content == {"results": []}


def test_the_bill_counts_where_there_is_one():
    """Else what the price list says of the pages that came."""
    asked = request("crawl", url=SITE)
    answer = {"base_url": SITE, "results": [{"url": SITE, "raw_content": "x"}] * 7}

    def cost(usage):
        told, found = wire.read(json.dumps(answer | usage).encode(), asked, is_pending=False)
        assert (told.count, "usage" in told.content) == (7, False)
        return found.amount

    assert cost({"usage": {"credits": 9}}) == 9
    assert cost({}) == cost({"usage": None}) == cost({"usage": {"credits": "x"}}) == 1 + 2
    assert cost({"usage": {"credits": 1e12}}) == 3  # a fault of whoever sent it


def test_usage_is_shown_to_whoever_asked_for_it():
    """The price is asked for in any case."""
    answer = b'{"results": [], "usage": {"credits": 1}}'

    shown, _ = wire.read(answer, request("map", url=SITE, wants_usage=True), is_pending=False)

    assert shown.content["usage"] == {"credits": 1}
    assert wire.body(request("map", url=SITE)) == {"url": SITE, "include_usage": True}
    assert wire.body(request("research", input="tides")) == {"input": "tides"}


@pytest.mark.parametrize(("given", "sent"), [(0.5, 10.0), (30, 30.0), (600, 150.0)])
def test_the_callers_patience_within_tavilys_range(given, sent):
    """What Tavily would refuse is brought to the nearest it takes; who waits less is answered by us."""
    assert wire.body(request("map", url=SITE, timeout=given))["timeout"] == sent


def test_a_key_is_never_sent():
    """Wherever it came from."""
    assert "api_key" not in wire.body(request("feedback", request_id="r", api_key="tvly-x"))


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"x"', b'{"results": {}}', b"{}"])
def test_what_is_no_answer(body):
    """No JSON object, or one without the list that every map and crawl has."""
    with pytest.raises(msgspec.DecodeError):
        wire.read(body, request("map", url=SITE), is_pending=False)
