"""What was asked before, or is being asked right now, costs no provider anything; the answer says so."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest

from tests.support.gateway_server import GatewayServer, serving
from tests.support.jina_simulator import JinaSimulator
from tests.support.processes import until
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from pathlib import Path

CALLERS = 50

SPELLINGS = {
    "the same": ("Café tide tables", "Café tide tables"),
    "case": ("Café tide tables", "CAFÉ Tide TABLES"),
    "white space": ("Café tide tables", "  Café   tide\t tables\n"),
    "decomposed": ("Café tide tables", "Cafe\u0301 tide tables"),
    "full width": ("tide tables 2026", "\uff54\uff49\uff44\uff45 tables\u3000\uff12\uff10\uff12\uff16"),
    "ligature": ("find tide tables", "\ufb01nd tide tables"),
    "invisible characters": ("tide tables", "ti\u200bde\u00ad tab\u202eles\u0000"),
    "sharp s": ("straße am hafen", "STRASSE AM HAFEN"),
}
"""Two ways to write one query."""


async def tavily_is_asked(tavily: TavilySimulator) -> None:
    """Wait until the first call has arrived there."""
    await until(lambda: tavily.count > 0, 5.0, lambda: "no call arrived")


@pytest.fixture
async def amos(tmp_path: Path, tavily: TavilySimulator):
    """A gateway with Tavily alone."""
    async with serving(tmp_path, tavily=tavily) as running:
        yield running


# --- the cache ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), SPELLINGS.values(), ids=SPELLINGS)
async def test_the_second_query_reaches_nobody(
    amos: GatewayServer, tavily: TavilySimulator, first: str, second: str
):
    """The same query again, in whatever spelling, is answered from the cache with the same results."""
    fetched = (await amos.search(first)).json()
    response = await amos.search(second)

    answer = response.json()
    assert tavily.count == 1
    assert answer["results"] == fetched["results"]
    assert answer["query"] == second
    assert (answer["amos"]["cache"], answer["amos"]["credits"]) == ("l1", 0)
    assert (fetched["amos"]["cache"], fetched["amos"]["credits"]) == ("miss", 1)
    assert answer["request_id"] != fetched["request_id"]


async def test_options_in_another_spelling_are_the_same(amos: GatewayServer, tavily: TavilySimulator):
    """Defaults written out, nulls, empty lists, and domains in another order, case or number ask the same."""
    await amos.search("tide tables", include_domains=["almanac.example", "wiki.example"])
    await amos.search(
        "tide tables",
        include_domains=["Wiki.Example", "almanac.example", "wiki.example"],
        exclude_domains=[],
        max_results=5,
        topic="general",
        search_depth="basic",
        country=None,
        include_usage=True,
    )

    assert tavily.count == 1


@pytest.mark.parametrize(
    "option",
    [
        {"max_results": 6},
        {"topic": "news"},
        {"search_depth": "advanced"},
        {"include_domains": ["almanac.example"]},
        {"country": "germany"},
        {"brand_new": 1},
    ],
    ids=str,
)
async def test_what_changes_the_answer_is_another_question(
    amos: GatewayServer, tavily: TavilySimulator, option: dict[str, object]
):
    """An option that changes the answer, known to us or not, is never answered from the other's entry."""
    await amos.search("tide tables")
    answer = (await amos.search("tide tables", **option)).json()

    assert answer["amos"]["cache"] == "miss"
    assert tavily.count == 2


async def test_errors_are_not_cached(amos: GatewayServer, tavily: TavilySimulator):
    """After a failure the next search asks again."""
    tavily.script(Fault.body("{}"))

    failed = await amos.search("tide tables")
    answered = await amos.search("tide tables")

    assert (failed.status_code, answered.status_code) == (503, 200)
    assert tavily.count == 2


async def test_entries_expire(tmp_path: Path, tavily: TavilySimulator):
    """After AMOS_CACHE_TTL_S an answer is fetched anew, and the header says that a stale one was there."""
    async with serving(tmp_path, tavily=tavily, cache_ttl_s=0.2, stale_while_revalidate_s=0) as amos:
        await amos.search("tide tables")
        await asyncio.sleep(0.25)
        response = await amos.search("tide tables")

    assert tavily.count == 2
    assert response.headers["cache-status"] == "amos-l1; fwd=stale; stored"


# --- what the caller may want of it -------------------------------------------------------------------------


async def test_no_cache_fetches_and_refreshes(amos: GatewayServer, tavily: TavilySimulator):
    """`Cache-Control: no-cache` asks the provider, and the next caller gets the fresh entry."""
    await amos.search("tide tables")
    fresh = await amos.search("tide tables", {"Cache-Control": "no-cache"})
    again = await amos.search("tide tables")

    assert fresh.headers["cache-status"] == "amos-l1; fwd=request; stored"
    assert fresh.json()["amos"]["cache"] == "miss"
    assert again.json()["amos"]["cache"] == "l1"
    assert tavily.count == 2


async def test_no_store_leaves_nothing_behind(amos: GatewayServer, tavily: TavilySimulator):
    """`Cache-Control: no-store` neither uses nor fills the cache."""
    private = await amos.search("tide tables", {"Cache-Control": "no-store"})
    again = await amos.search("tide tables")

    assert "stored" not in private.headers["cache-status"]
    assert again.json()["amos"]["cache"] == "miss"
    assert tavily.count == 2


async def test_only_if_cached_never_spends(amos: GatewayServer, tavily: TavilySimulator):
    """`Cache-Control: only-if-cached` is a hit or 504, and no provider is asked."""
    absent = await amos.search("tide tables", {"Cache-Control": "only-if-cached"})
    assert absent.status_code == 504
    assert "cache" in absent.json()["detail"]["error"]
    assert tavily.count == 0

    await amos.search("tide tables")
    present = await amos.search("tide tables", {"Cache-Control": "only-if-cached"})
    assert present.json()["amos"]["cache"] == "l1"
    assert tavily.count == 1


async def test_max_age_bounds_the_age(amos: GatewayServer, tavily: TavilySimulator):
    """`Cache-Control: max-age` refuses older entries and takes younger ones."""
    await amos.search("tide tables")
    young = await amos.search("tide tables", {"Cache-Control": "max-age=60"})
    old = await amos.search("tide tables", {"Cache-Control": "max-age=0"})

    assert young.json()["amos"]["cache"] == "l1"
    assert old.headers["cache-status"] == "amos-l1; fwd=request; stored"
    assert tavily.count == 2


# --- headers ------------------------------------------------------------------------------------------------


async def test_headers_tell_where_the_answer_is_from(amos: GatewayServer):
    """Cache-Status, Age and Server-Timing describe a miss and a hit as RFC 9211 and RFC 9111 want it."""
    miss = await amos.search("tide tables")
    hit = await amos.search("tide tables")

    assert miss.headers["cache-status"] == "amos-l1; fwd=uri-miss; stored"
    assert re.fullmatch(r"amos-l1; hit; ttl=\d+", hit.headers["cache-status"])
    assert "age" not in miss.headers
    assert hit.headers["age"] == "0"
    timing = re.fullmatch(r"total;dur=([\d.]+), upstream;dur=([\d.]+)", miss.headers["server-timing"])
    assert timing is not None
    assert float(timing[1]) >= float(timing[2]) > 0
    assert hit.headers["server-timing"].endswith("upstream;dur=0.000")
    assert miss.headers["cache-control"] == hit.headers["cache-control"] == "no-store"
    assert hit.headers["content-type"] == "application/json"


async def test_a_callers_trace_goes_on(amos: GatewayServer, tavily: TavilySimulator):
    """A valid traceparent is kept: in the answer, towards the provider and in the record."""
    trace_id, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    response = await amos.search("tide tables", {"traceparent": f"00-{trace_id}-{parent}-01"})

    await amos.drain()
    received = amos.events(response.json()["amos"]["execution_id"])[0]
    assert re.fullmatch(rf"00-{trace_id}-[0-9a-f]{{16}}-01", response.headers["traceparent"])
    assert parent not in response.headers["traceparent"]
    assert tavily.calls[0].headers["traceparent"].startswith(f"00-{trace_id}-")
    assert (received["trace_id"], received["parent_span_id"]) == (trace_id, parent)


@pytest.mark.parametrize(
    "traceparent", ["nonsense", f"00-{'0' * 32}-b7ad6b7169203331-01", f"ff-{'1' * 32}-{'2' * 16}-01"]
)
async def test_a_bad_trace_is_replaced(amos: GatewayServer, traceparent: str):
    """Without a valid traceparent the trace id is the execution id."""
    response = await amos.search("tide tables", {"traceparent": traceparent})

    execution_id = response.json()["amos"]["execution_id"].replace("-", "")
    assert response.headers["traceparent"].startswith(f"00-{execution_id}-")


async def test_request_ids_are_kept_or_made(amos: GatewayServer):
    """X-Request-Id is the client's own if it is harmless, else the execution's id."""
    own = await amos.search("tide tables", {"X-Request-Id": "job-17.a"})
    unsafe = await amos.search("tide tables", {"X-Request-Id": "a b\tc"})
    none = await amos.search("tide tables")

    assert own.headers["x-request-id"] == "job-17.a"
    for response in (unsafe, none):
        assert response.headers["x-request-id"] == response.json()["amos"]["execution_id"]


async def test_an_etag_saves_the_body(amos: GatewayServer, tavily: TavilySimulator):
    """GET gives a weak ETag over what was found; who shows it again gets 304 without a body."""
    first = await amos.client.get("/search", params={"q": "tide tables", "max_results": 3})
    etag = first.headers["etag"]
    again = await amos.client.get(
        "/search", params={"q": "Tide Tables", "max_results": 3}, headers={"If-None-Match": etag}
    )
    other = await amos.client.get("/search", params={"q": "opening hours"}, headers={"If-None-Match": etag})

    assert first.status_code == 200
    assert len(first.json()["results"]) == 3
    assert etag.startswith('W/"')
    assert first.headers["cache-control"] == "private, no-cache"
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert (other.status_code, other.headers["etag"] == etag) == (200, False)
    assert tavily.count == 2


async def test_get_post_and_query_share_their_entries(amos: GatewayServer, tavily: TavilySimulator):
    """The same search through GET, POST and QUERY is one entry."""
    await amos.search("tide tables")
    got = await amos.client.get("/search", params={"query": "tide tables"})
    queried = await amos.client.request("QUERY", "/search", json={"query": "tide tables"})

    assert got.json()["results"] == queried.json()["results"]
    assert tavily.count == 1


# --- flights ------------------------------------------------------------------------------------------------


async def test_identical_queries_at_once_cost_one(amos: GatewayServer, tavily: TavilySimulator):
    """Of fifty identical searches at once one asks the provider, forty-nine wait for it, all are answered."""
    tavily.delay_s = 1.0

    responses = await asyncio.gather(
        *(amos.search("tide tables" if n % 2 else "Tide  Tables") for n in range(CALLERS))
    )

    answers = [response.json() for response in responses]
    assert tavily.count == 1
    assert all(answer["results"] == answers[0]["results"] for answer in answers)
    ways = sorted(answer["amos"]["cache"] for answer in answers)
    assert ways == ["collapsed"] * (CALLERS - 1) + ["miss"]
    assert sum(answer["amos"]["credits"] for answer in answers) == 1
    collapsed = [r for r in responses if r.json()["amos"]["cache"] == "collapsed"]
    assert collapsed[0].headers["cache-status"] == "amos-l1; fwd=uri-miss; collapsed"
    await amos.drain()
    leader = next(answer["amos"]["execution_id"] for answer in answers if answer["amos"]["cache"] == "miss")
    follower = collapsed[0].json()["amos"]["execution_id"]
    assert [e["leader"] for e in amos.events(follower) if e["type"] == "amos.flight.joined.v1"] == [leader]


async def test_a_leaving_leader_takes_nobody_with_it(amos: GatewayServer, tavily: TavilySimulator):
    """When the first caller hangs up, the others still get the answer of its call, and so does the cache."""
    tavily.delay_s = 1.5  # the others arrive meanwhile, however busy the machine
    body = b'{"query":"tide tables"}'
    reader, writer = await asyncio.open_connection("127.0.0.1", amos.port)
    writer.write(
        b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    await tavily_is_asked(tavily)
    followers = [asyncio.create_task(amos.search("tide tables")) for _ in range(CALLERS - 1)]
    await asyncio.sleep(0.15)

    writer.transport.abort()
    responses = await asyncio.gather(*followers)
    later = await amos.search("tide tables")

    assert tavily.count == 1
    assert {response.status_code for response in responses} == {200}
    assert {response.json()["amos"]["cache"] for response in responses} == {"collapsed"}
    assert later.json()["amos"]["cache"] == "l1"
    assert not await reader.read()


async def test_an_abandoned_search_is_finished_and_recorded(amos: GatewayServer, tavily: TavilySimulator):
    """A search whose only caller hangs up is paid for, so its answer is kept and its end recorded."""
    tavily.delay_s = 0.3
    body = b'{"query":"tide tables"}'
    _, writer = await asyncio.open_connection("127.0.0.1", amos.port)
    writer.write(
        b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    await tavily_is_asked(tavily)

    writer.transport.abort()
    await asyncio.sleep(0.5)
    later = await amos.search("tide tables")

    await amos.drain()
    types = [
        envelope["event"]["type"]
        for frame in amos.frames()
        if frame["stream"] != later.json()["amos"]["execution_id"]
        for envelope in frame["events"]
    ]
    assert later.json()["amos"]["cache"] == "l1"
    assert tavily.count == 1
    assert types.count("amos.attempt.started.v1") == types.count("amos.attempt.succeeded.v1") == 1
    # Hypercorn does not cancel a request whose client left, so today it counts as answered.
    assert types.count("amos.request.completed.v1") + types.count("amos.request.failed.v1") == 1


async def test_a_failed_flight_fails_for_all_and_then_is_over(tmp_path: Path, tavily: TavilySimulator):
    """Followers share the leader's error, and the next search begins anew."""
    tavily.script(Fault.body("{}"))
    tavily.delay_s = 0.3
    async with JinaSimulator() as jina:
        jina.script(Fault.body("{}"))
        async with serving(tmp_path, tavily=tavily, jina=jina) as amos:
            responses = await asyncio.gather(*(amos.search("tide tables") for _ in range(10)))
            later = await amos.search("tide tables")

            assert {response.status_code for response in responses} == {503}
            assert all("tavily: bad_shape" in response.json()["detail"]["error"] for response in responses)
            assert later.status_code == 200
            assert (tavily.count, jina.count) == (2, 1)


async def test_no_store_never_joins(amos: GatewayServer, tavily: TavilySimulator):
    """Whoever wants no trace in the cache flies alone."""
    tavily.delay_s = 0.2

    await asyncio.gather(*(amos.search("tide tables", {"Cache-Control": "no-store"}) for _ in range(3)))

    assert tavily.count == 3
