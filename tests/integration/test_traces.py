"""What a collector gets of calls that were really made, on both databases."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest
from mcp import Client

from orchestrator.events import ResultCached
from orchestrator.model import Caller, SearchRequest
from orchestrator.trace_context import span_id_of
from tests.support.database import query
from tests.support.gateway_server import GatewayServer, serving
from tests.support.otlp_receiver import OtlpReceiver, TakenSpan, spans_of
from tests.support.processes import until
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator
from tests.support.traces import Traces, exporting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.support.jina_simulator import JinaSimulator

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{PARENT_ID}-01"


@pytest.fixture
def fields(kind: str, new_database: Callable[[str, Path], str], tmp_path: Path) -> dict[str, str]:
    """The settings of each database."""
    if kind == "sqlite":
        return {}
    return {"database_url": new_database(kind, tmp_path), "key_pepper": "p" * 32}


@pytest.fixture
async def amos(
    tmp_path: Path, fields: dict[str, str], tavily: TavilySimulator, jina: JinaSimulator
) -> AsyncIterator[GatewayServer]:
    """A gateway with two providers, whose schema is there."""
    async with serving(tmp_path / "var", tavily=tavily, jina=jina, **fields) as running:
        await running.drain()
        yield running


@pytest.fixture
async def traces(amos: GatewayServer, receiver: OtlpReceiver) -> AsyncIterator[Traces]:
    """The export of its traces."""
    async with exporting(amos.settings, receiver) as running:
        await running.export()
        yield running


def id_of(answer: httpx.Response) -> str:
    """The execution behind an answer."""
    return str(answer.json()["amos"]["execution_id"])


def refused_id(answer: httpx.Response) -> str:
    """The execution behind an answer that is a failure: its trace began with it."""
    digits = answer.headers["traceparent"].split("-")[1]
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


async def taken(
    amos: GatewayServer, traces: Traces, receiver: OtlpReceiver, execution_id: str
) -> list[TakenSpan]:
    """The spans of an execution after everything was exported."""
    await amos.drain()
    await traces.export()
    return spans_of(receiver, execution_id)


async def test_miss_and_hit(amos: GatewayServer, traces: Traces, receiver: OtlpReceiver, tavily):
    """The ids are those in the answer's header and in the header that the provider got."""
    missed, hit = await amos.search("tide tables"), await amos.search("tide tables")

    call, attempt = await taken(amos, traces, receiver, id_of(missed))
    (cached,) = await taken(amos, traces, receiver, id_of(hit))

    assert missed.headers["traceparent"] == f"00-{call.trace_id}-{call.span_id}-01"
    assert tavily.calls[0].headers["traceparent"] == f"00-{attempt.trace_id}-{attempt.span_id}-01"
    assert (call.name, call.kind, call.status, call.parent_id) == ("POST /search", "server", "unset", "")
    assert (attempt.name, attempt.kind, attempt.status) == ("retrieval tavily", "client", "unset")
    assert attempt.parent_id == call.span_id
    assert call.start_ns <= attempt.start_ns <= attempt.end_ns <= call.end_ns
    assert [name for name, _ in call.events] == ["amos.cache.missed", "amos.cache.stored"]
    assert [name for name, _ in cached.events] == ["amos.cache.hit"]
    assert cached.attributes["amos.saved.usd_micros"] == attempt.attributes["amos.cost.usd_micros"] == 8_000
    assert call.resource["service.name"] == "amos"
    (row,) = query(amos.database, f"SELECT instance FROM frames WHERE stream = '{id_of(hit)}'")
    assert cached.resource["service.instance.id"] == row["instance"]


async def test_fallback(amos: GatewayServer, traces: Traces, receiver: OtlpReceiver, tavily):
    """What a provider failed is a failed child of a call that is no error."""
    tavily.script(Fault.status(401))
    answer = await amos.search("tide tables")

    call, failed, answered = await taken(amos, traces, receiver, id_of(answer))

    assert [span.status for span in (call, failed, answered)] == ["unset", "error", "unset"]
    assert [failed.name, answered.name] == ["retrieval tavily", "retrieval jina"]
    assert failed.attributes["error.type"] == answer.json()["amos"]["attempts"][0]["reason"]
    assert call.attributes["amos.provider"] == "jina"
    assert call.attributes["amos.fallback"] is True


async def test_nobody_could_answer(amos: GatewayServer, traces: Traces, receiver: OtlpReceiver, tavily, jina):
    """A 503 is an error of the call; every try of every provider is there."""
    tavily.always(Fault.status(500))
    jina.always(Fault.status(500))
    answer = await amos.search("tide tables")

    call, *attempts = await taken(amos, traces, receiver, refused_id(answer))

    assert answer.status_code == 503
    assert (call.status, call.attributes["error.type"]) == ("error", "all_providers_failed")
    assert call.attributes["http.response.status_code"] == 503
    assert len(attempts) == tavily.count + jina.count
    assert {span.status for span in attempts} == {"error"}


async def test_a_refusal_is_the_caller_s(amos: GatewayServer, traces: Traces, receiver: OtlpReceiver):
    """A 400 leaves the span unset."""
    answer = await amos.search("tide tables", time_range="soon")

    (call,) = await taken(amos, traces, receiver, refused_id(answer))

    assert (answer.status_code, call.status) == (400, "unset")
    assert call.attributes["http.response.status_code"] == 400
    assert call.attributes["amos.error"] == "invalid_request"


async def test_follower(amos: GatewayServer, traces: Traces, receiver: OtlpReceiver, tavily):
    """Who waited for another call's answer is linked to that call, also if it is of another trace."""
    tavily.delay_s = 0.5
    leading = asyncio.create_task(amos.search("tide tables", {"traceparent": TRACEPARENT}))
    await until(lambda: tavily.count == 1, 5.0, lambda: "no call arrived")
    follower = await amos.search("tide tables")
    leader = await leading

    (call,) = await taken(amos, traces, receiver, id_of(follower))

    assert call.attributes["amos.cache"] == "collapsed"
    assert call.links == ((TRACE_ID, span_id_of(id_of(leader))),)
    assert [name for name, _ in call.events] == ["amos.cache.missed", "amos.flight.joined"]


async def test_a_remote_parent(amos: GatewayServer, traces: Traces, receiver: OtlpReceiver):
    """The caller's span is the parent, and known to be of another process."""
    answer = await amos.search("tide tables", {"traceparent": TRACEPARENT})

    call, attempt = await taken(amos, traces, receiver, id_of(answer))

    assert (call.trace_id, call.parent_id, call.is_parent_remote) == (TRACE_ID, PARENT_ID, True)
    assert (attempt.trace_id, attempt.is_parent_remote) == (TRACE_ID, False)


async def test_extract(amos: GatewayServer, traces: Traces, receiver: OtlpReceiver, tavily):
    """Pages of one extract are one call to the provider: one span, and no URL in it."""
    pages = [f"https://almanac.example/{name}" for name in ("a", "b", "gone")]
    tavily.delay_s = 0.02
    answer = await amos.extract(pages)

    call, *attempts = await taken(amos, traces, receiver, id_of(answer))

    assert call.name == "POST /extract"
    assert call.attributes["amos.urls"] == 3
    assert [span.name for span in attempts][:1] == ["retrieval tavily"]
    assert len(attempts) == len(amos.attempts(id_of(answer)))
    assert "almanac" not in str(receiver.taken)


async def test_mcp(amos: GatewayServer, traces: Traces, receiver: OtlpReceiver):
    """A call of a tool is named by the tool, with the trace of the request's `_meta`."""
    async with Client(f"{amos.base_url}/mcp") as client:
        result = await client.call_tool(
            "web_search", {"query": "tide tables"}, meta={"traceparent": TRACEPARENT}
        )
    assert result.structured_content is not None
    execution_id = result.structured_content["amos"]["execution_id"]

    call, attempt = await taken(amos, traces, receiver, execution_id)

    assert (call.name, call.kind) == ("tools/call web_search", "server")
    assert (call.trace_id, call.parent_id) == (TRACE_ID, PARENT_ID)
    assert call.attributes["mcp.method.name"] == "tools/call"
    assert call.attributes["gen_ai.tool.name"] == "web_search"
    assert attempt.parent_id == call.span_id


async def test_no_query_leaves(amos: GatewayServer, traces: Traces, receiver: OtlpReceiver):
    """Neither the text nor the key made of it is in any span."""
    answer = await amos.search("an unusual question")
    await taken(amos, traces, receiver, id_of(answer))

    (key,) = {event["key"] for event in amos.events(id_of(answer)) if "key" in event}

    assert "unusual" not in str(receiver.taken)
    assert key not in str(receiver.taken)


async def test_an_attempt_that_outlives_its_call(
    amos: GatewayServer, traces: Traces, receiver: OtlpReceiver, tavily
):
    """The caller leaves, the flight goes on: the call's span goes out first, the attempt's when it ended."""
    tavily.delay_s = 0.5
    caller = Caller(door="http", is_local_operator=True)
    call = amos.gateway.open(SearchRequest(query="tide tables"), caller)
    asking = asyncio.create_task(amos.gateway.search(call))
    await until(lambda: tavily.count == 1, 5.0, lambda: "no call arrived")
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    execution_id = call.trail.execution_id

    left = await taken(amos, traces, receiver, execution_id)
    await until(lambda: isinstance(call.trail.events[-1].event, ResultCached), 5.0, lambda: "still flying")
    await asyncio.sleep(0.05)  # the last frame is on its way
    both = await taken(amos, traces, receiver, execution_id)

    assert [span.name for span in left] == ["search"]
    assert left[0].attributes["amos.error"] == "cancelled"
    assert [span.name for span in both] == ["search", "retrieval tavily"]
    assert both[0] == left[0]
    assert both[1].attributes["amos.outlived_call"] is True
    assert len(receiver.taken) == 2


async def test_a_follower_in_another_process(tmp_path: Path, receiver: OtlpReceiver, tavily, valkey):
    """The link crosses Redis: who waits for a call of another instance knows the trace of that call."""
    tavily.delay_s = 0.5
    shared = {"redis_url": valkey.url, "redis_timeout_s": 1.0, "tavily": tavily}
    async with (
        serving(tmp_path / "one", **shared) as one,
        serving(tmp_path / "two", **shared) as two,
        exporting(two.settings, receiver) as traces,
    ):
        await two.drain()
        await traces.export()
        leading = asyncio.create_task(one.search("tide tables", {"traceparent": TRACEPARENT}))
        await until(lambda: tavily.count == 1, 5.0, lambda: "no call arrived")
        follower = await two.search("tide tables")
        leader = await leading

        (call,) = await taken(two, traces, receiver, id_of(follower))

    assert call.links == ((TRACE_ID, span_id_of(id_of(leader))),)
