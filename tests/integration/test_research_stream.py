"""A research that is streamed reaches the caller as Tavily makes it, and ends with whichever of them ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest
import tavily as tavily_python

from tests.support.gateway_server import GatewayServer, serving
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from pathlib import Path

BODY = {"input": "tides", "model": "mini", "stream": True}


@pytest.fixture
async def amos(tmp_path: Path, tavily: TavilySimulator) -> AsyncIterator[GatewayServer]:
    """A gateway with Tavily."""
    async with serving(tmp_path, tavily=tavily) as running:
        yield running


def events(text: str) -> list[Any]:
    """The data of the events of a stream."""
    lines = (line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: "))
    return [json.loads(line) for line in lines]


async def test_the_official_client_sync_and_async(amos: GatewayServer, monkeypatch: pytest.MonkeyPatch):
    """Both give the pieces of Tavily's stream."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    sync = tavily_python.TavilyClient(api_key="tvly-x", api_base_url=amos.base_url)
    asynchronous = tavily_python.AsyncTavilyClient(api_key="tvly-x", api_base_url=amos.base_url)

    def whole() -> bytes:
        return b"".join(sync.research("tides", model="mini", stream=True))

    first = await asyncio.to_thread(whole)
    stream = await asynchronous.research("tides", model="mini", stream=True)
    second = b"".join([piece async for piece in stream])
    sync.close()
    await asynchronous.close()

    for text in (first.decode(), second.decode()):
        assert ["tides" in event["delta"]["content"] for event in events(text)] == [True] * 3
        assert text.endswith("event: done\n\n")


async def test_events_come_as_they_are_made(amos: GatewayServer, tavily: TavilySimulator):
    """The first one is here long before the last, under headers that keep nobody from passing it on."""
    tavily.always(Fault.drip(interval_s=0.02))
    begun, first_s = time.monotonic(), 0.0
    async with amos.client.stream("POST", "/research", json=BODY) as answer:
        async for piece in answer.aiter_bytes():
            first_s = first_s or (time.monotonic() - begun if piece else 0.0)
        whole_s = time.monotonic() - begun

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-request-id"]
    assert first_s < whole_s * 0.8


async def test_it_is_recorded_and_assumed_to_cost_the_most(amos: GatewayServer, tavily: TavilySimulator):
    """As any other research; the body reaches Tavily as it is."""
    answer = await amos.client.post("/research", json=BODY)
    await amos.drain()
    cost = (await amos.client.get("/reports/cost?by=operation")).json()
    (last,) = [event for event in amos.events(answer.headers["x-request-id"]) if "completed" in event["type"]]

    assert tavily.calls[0].json == BODY
    assert (last["operation"], last["cache"], last["results"]) == ("research", "relayed", 1)
    assert [row["assumed_usd_micros"] for row in cost["rows"]] == [880_000]


async def test_what_fails_before_the_first_event_is_an_answer_of_its_own(
    amos: GatewayServer, tavily: TavilySimulator
):
    """With the status it has without a stream."""
    for status in (400, 500, 432):
        tavily.script(Fault.status(status))

    answers = [await amos.client.post("/research", json=BODY) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [400, 503, 432]
    assert all(answer.json()["detail"]["error"] for answer in answers)


async def test_what_breaks_off_ends_with_an_event_that_says_so(amos: GatewayServer, tavily: TavilySimulator):
    """The pieces that came are there, and then why there are no more."""
    tavily.always(Fault.cut())

    answer = await amos.client.post("/research", json=BODY)

    assert answer.status_code == 200
    assert "event: error\n" in answer.text
    assert events(answer.text)[-1]["amos"]["code"] == "all_providers_failed"


async def test_what_hides_is_taken_out_on_the_way(amos: GatewayServer, tavily: TavilySimulator):
    """Also where it is spelled out, and where it is no JSON."""
    event = 'data: {"a": "ti\\u202edes", "raw_content": "<script>x()</script>up"}\n\n'
    tavily.always(Fault.body(event + ": com\u200bment\n\ndata: [DONE", content_type="text/event-stream"))

    answer = await amos.client.post("/research", json=BODY)

    assert answer.text == 'data: {"a":"tides","raw_content":"up"}\n\n: comment\n\ndata: [DONE'


async def test_a_line_without_an_end_is_not_kept(
    amos: GatewayServer, tavily: TavilySimulator, monkeypatch: pytest.MonkeyPatch
):
    """Its memory is bounded: the stream ends there."""
    monkeypatch.setattr("orchestrator.limits.STREAM_LINE_BYTES_MAX", 1_000)
    tavily.always(Fault.body("data: " + "x" * 5_000, content_type="text/event-stream"))

    answer = await amos.client.post("/research", json=BODY)

    assert answer.status_code == 503
    assert "tavily: too_large" in answer.json()["detail"]["error"]


async def test_what_breaks_off_within_an_event_is_an_event_of_its_own(
    amos: GatewayServer, tavily: TavilySimulator, monkeypatch: pytest.MonkeyPatch
):
    """The end of the one that broke off comes first, or clients would read both as one."""
    monkeypatch.setattr("orchestrator.limits.STREAM_LINE_BYTES_MAX", 100_000)
    tavily.always(Fault.body('data: {"a":1}\ndata: ' + "x" * 500_000, content_type="text/event-stream"))

    answer = await amos.client.post("/research", json=BODY)

    first, last = answer.text.removesuffix("\n\n").split("\n\n")
    assert first == 'data: {"a":1}'
    assert last.startswith('event: error\ndata: {"detail":')


async def test_a_caller_who_leaves_ends_it(amos: GatewayServer, tavily: TavilySimulator):
    """Nobody else could read what comes; that it may be billed is on record."""
    tavily.always(Fault.drip(interval_s=0.2))
    async with amos.client.stream("POST", "/research", json=BODY) as answer:
        execution_id = answer.headers["x-request-id"]
        async for piece in answer.aiter_bytes():
            if piece:
                break
    async with asyncio.timeout(5):
        told: dict[str, Any] = {}
        while "amos.request.failed.v1" not in told:
            await asyncio.sleep(0.05)
            await amos.drain()
            told = {event["type"]: event for event in amos.events(execution_id)}

    assert told["amos.request.failed.v1"]["error"] == "cancelled"
    assert told["amos.attempt.failed.v1"]["assumed"]["amount"] == 110


async def test_a_stream_ends_in_time(
    amos: GatewayServer, tavily: TavilySimulator, monkeypatch: pytest.MonkeyPatch
):
    """A Tavily that goes on for ever is cut off, and the caller hears of it."""
    monkeypatch.setattr("orchestrator.limits.STREAM_S_MAX", 1.0)
    tavily.always(Fault.drip(interval_s=0.05))

    answer = await amos.client.post("/research", json=BODY)

    assert events(answer.text)[-1]["amos"]["code"] == "deadline_exceeded"
