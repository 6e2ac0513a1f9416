"""The simulated upstreams behave as the contracts of the real ones say; the official client cannot tell."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import tavily
from tavily import errors as tavily_errors

from tests.support.http_server import DeadPort
from tests.support.jina_simulator import ANONYMOUS_PER_MINUTE, ERRORS, JinaSimulator
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator

ROOT = Path(__file__).resolve().parents[2]
QUERY = "tide tables harbour"


@pytest.fixture
async def client():
    """A plain HTTP client that ignores the environment."""
    async with httpx.AsyncClient(trust_env=False, timeout=5) as plain:
        yield plain


@pytest.fixture(autouse=True)
def without_proxy(monkeypatch):
    """The official client would follow proxy variables even to this machine."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


class Tavily:
    """Asks a simulated Tavily with a good key."""

    def __init__(self, simulator, client):
        self.simulator = simulator
        self._client = client

    async def post(self, path, body, *, key=TavilySimulator.api_key, **headers):
        """POST a JSON body; `key` `None` sends no Authorization."""
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        return await self._client.post(self.simulator.base_url + path, json=body, headers=headers)

    async def search(self, **fields):
        """A good search's answer."""
        response = await self.post("/search", {"query": QUERY, **fields})
        assert response.status_code == 200, response.text
        return response.json()


@pytest.fixture
async def simulated(client):
    """A simulated Tavily and a way to ask it."""
    async with TavilySimulator() as simulator:
        yield Tavily(simulator, client)


# --- Tavily -------------------------------------------------------------------------------------------------


async def test_tavily_always_answers_with_the_same_fields(simulated):
    """The documented fields are always there, the others only when asked for."""
    plain = await simulated.search()
    full = await simulated.search(
        include_usage=True,
        include_answer=True,
        include_images=True,
        include_favicon=True,
        include_raw_content=True,
        topic="news",
        auto_parameters=True,
    )

    always = {"query", "follow_up_questions", "answer", "images", "results", "response_time", "request_id"}
    assert set(plain) == always
    assert set(plain["results"][0]) == {"id", "title", "url", "content", "score", "raw_content"}
    assert set(full) == always | {"usage", "auto_parameters"}
    assert full["answer"]
    assert [result["raw_content"] is None for result in full["results"]] == [False, True, False, False, False]
    assert full["results"][0]["published_date"].endswith("GMT")
    assert full["results"][1]["published_date"] == "2026-11-10"


async def test_tavily_answers_the_same_query_alike(simulated):
    """The results follow from the query, and hold its words."""
    first, second = await simulated.search(), await simulated.search()

    assert first == second
    assert (await simulated.search(query="something else"))["results"] != first["results"]
    assert all(QUERY in result["content"] for result in first["results"])


@pytest.mark.parametrize(("wanted", "count"), [(None, 5), (0, 0), (1, 1), (20, 20), (25, 20)])
async def test_tavily_never_gives_more_than_wanted(simulated, wanted, count):
    """`max_results` bounds the list, 20 bounds `max_results`, and scores never rise."""
    results = (await simulated.search(max_results=wanted))["results"]

    scores = [result["score"] for result in results]
    assert len(results) == count
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


async def test_tavily_leaks_a_host_unless_strict(simulated):
    """A list of domains is a wish unless a strict mode is asked for; excluded hosts stay away."""
    loose = (await simulated.search(include_domains=["a.example"]))["results"]
    strict = (await simulated.search(include_domains=["a.example"], include_domains_mode="restrict"))[
        "results"
    ]
    host = (await simulated.search())["results"][0]["url"].split("/")[2]
    without = (await simulated.search(exclude_domains=[host]))["results"]

    assert len([result for result in loose if "://a.example/" not in result["url"]]) == 1
    assert all("://a.example/" in result["url"] for result in strict)
    assert len(without) == 5
    assert not any(host in result["url"] for result in without)


@pytest.mark.parametrize(
    ("key", "body", "status"),
    [
        (None, {"query": QUERY}, 401),
        ("tvly-wrong", {"query": QUERY}, 401),
        ("tvly-wrong", {"query": QUERY, "api_key": TavilySimulator.api_key}, 401),
        (None, {"query": QUERY, "api_key": TavilySimulator.api_key}, 200),
    ],
)
async def test_tavily_looks_at_the_key_first(simulated, key, body, status):
    """The header wins; the historic key in the body counts only without one."""
    response = await simulated.post("/search", body, key=key)

    assert response.status_code == status
    if status == 401:
        assert response.json() == {"detail": {"error": "Unauthorized: missing or invalid API key."}}


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"query": 7},
        {"query": None},
        {"query": QUERY, "include_domains": [7]},
        {"query": QUERY, "max_results": "5"},
        {"query": QUERY, "max_results": True},
        {"query": QUERY, "chunks_per_source": 0},
    ],
)
async def test_tavily_answers_422_for_a_wrong_shape(simulated, body):
    """Wrong JSON types and missing fields give a list of faults."""
    response = await simulated.post("/search", body)

    assert response.status_code == 422
    assert set(response.json()["detail"][0]) == {"type", "loc", "msg", "input"}


VALUES = [
    ({"query": ""}, "Query is missing."),
    ({"query": "a"}, "Query is too short. Min query length is 2 characters."),
    ({"query": "a" * 401}, "Query is too long. Max query length is 400 characters."),
    ({"topic": "x"}, "Invalid topic. Must be 'general', 'news', or 'finance'"),
    ({"search_depth": "x"}, "Invalid search depth. Must be 'basic' or 'advanced'."),
    (
        {"include_answer": "x"},
        "Invalid value for include_answer. Must be True, False, 'basic', or 'advanced'.",
    ),
    ({"max_results": -1}, "Invalid max results."),
    ({"country": "us"}, "Invalid country."),
    ({"start_date": "11/12/2026"}, "Invalid date format. Expected YYYY-MM-DD, got: 11/12/2026"),
    ({"start_date": "2026-02-01", "end_date": "2026-01-01"}, "start_date cannot be after end_date"),
    (
        {"start_date": "2026-02-01", "time_range": "day"},
        "When time_range is set, start_date or end_date cannot be set",
    ),
    (
        {"include_domains": ["a.example"] * 301},
        "Invalid value for include_domains. Max 300 domains are allowed.",
    ),
    (
        {"exclude_domains": ["a.example"] * 151},
        "Invalid value for exclude_domains. Max 150 domains are allowed.",
    ),
    ({"include_domains": ["intranet"]}, "All domains in include_domains are invalid: ['intranet']."),
]


@pytest.mark.parametrize(("fields", "text"), VALUES)
async def test_tavily_answers_400_for_a_wrong_value(simulated, fields, text):
    """Values outside of their range are refused in the documented words."""
    response = await simulated.post("/search", {"query": QUERY, **fields})

    assert response.status_code == 400
    assert response.json()["detail"]["error"].startswith(text)


@pytest.mark.parametrize(
    "extra", [{"unknown_field": [1]}, {"api_key": "x"}, {"include_domains": []}, {"topic": None}]
)
async def test_tavily_ignores_what_it_does_not_know(simulated, extra):
    """Unknown fields, nulls and empty lists are no fault."""
    assert (await simulated.search(**extra))["results"]


async def test_tavily_counts_credits(simulated):
    """Searches cost by depth; extracts cost by fives across calls; `/usage` tells the sum."""
    await simulated.search()
    assert (await simulated.search(search_depth="advanced", include_usage=True))["usage"] == {"credits": 2}
    billed = []
    for number in range(5):
        body = {"urls": f"https://a.example/{number}", "include_usage": True}
        billed.append((await simulated.post("/extract", body)).json()["usage"]["credits"])
    usage = await simulated._client.get(
        f"{simulated.simulator.base_url}/usage",
        headers={"Authorization": f"Bearer {TavilySimulator.api_key}"},
    )

    assert billed == [0, 0, 0, 0, 1]
    assert usage.json()["key"] == {
        "usage": 4,
        "limit": None,
        "search_usage": 3,
        "extract_usage": 1,
        "crawl_usage": 0,
        "map_usage": 0,
        "research_usage": 0,
    }


async def test_tavily_extracts_what_is_there(simulated):
    """Good pages and failed ones together cover the input; 21 URLs are too many."""
    urls = ["https://a.example/1", "https://a.example/gone"]
    answer = (await simulated.post("/extract", {"urls": urls})).json()
    refusal = await simulated.post("/extract", {"urls": urls * 11})

    assert [page["url"] for page in answer["results"]] == urls[:1]
    assert answer["failed_results"] == [{"url": urls[1], "error": "Failed to fetch url"}]
    assert (refusal.status_code, refusal.json()) == (400, {"detail": {"error": "Max 20 URLs are allowed."}})


@pytest.mark.parametrize("quota_status", [432, 433])
async def test_tavily_ends_at_its_quota(client, quota_status):
    """At the limit every call gets the status of the quota, with its documented text."""
    async with TavilySimulator(credits_limit=1, quota_status=quota_status) as simulator:
        asking = Tavily(simulator, client)
        await asking.search()
        refusal = await asking.post("/search", {"query": QUERY})

    assert refusal.status_code == quota_status
    assert "limit" in refusal.json()["detail"]["error"]


@pytest.mark.parametrize(("is_rate_first", "status"), [(False, 432), (True, 429)])
async def test_tavily_checks_quota_and_rate_in_either_order(client, is_rate_first, status):
    """The order is unknown of the real one, so it can be chosen; a 429 says when to come again."""
    async with TavilySimulator(credits_limit=1, calls_per_minute=1, is_rate_first=is_rate_first) as simulator:
        asking = Tavily(simulator, client)
        await asking.search()
        refusal = await asking.post("/search", {"query": QUERY})

    assert refusal.status_code == status
    if status == 429:
        assert 1 <= int(refusal.headers["retry-after"]) <= 60


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/search", 405), ("POST", "/nowhere", 404), ("POST", "//search", 200)],
)
async def test_tavily_knows_its_routes(simulated, client, method, path, status):
    """Unknown paths and methods are refused as the real framework does; doubled slashes are one."""
    url = simulated.simulator.base_url + path
    headers = {"Authorization": f"Bearer {TavilySimulator.api_key}"}
    response = await client.request(method, url, json={"query": QUERY}, headers=headers)

    assert response.status_code == status


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 432, 433, 500])
async def test_tavily_errors_have_their_envelope(simulated, status):
    """Each status can be had on demand, in the envelope whose text clients show."""
    simulated.simulator.script(Fault.status(status))

    response = await simulated.post("/search", {"query": QUERY})

    assert response.status_code == status
    assert isinstance(response.json()["detail"]["error"], str)


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        (Fault.status(429, shape="flat", text="slow"), 429, '{"error":"slow"}'),
        (Fault.status(500, shape="string", text="broken"), 500, '{"detail":"broken"}'),
        (Fault.status(500, shape="list", text="broken"), 500, '{"detail":["broken"]}'),
        (Fault.status(500, shape="absent"), 500, "{}"),
        (Fault.status(502), 502, "<html>"),
        (Fault.status(503, shape="empty"), 503, ""),
        (Fault.body("not JSON"), 200, "not JSON"),
        (Fault.body("{}"), 200, "{}"),
    ],
)
async def test_tavily_errors_have_their_other_forms(simulated, fault, status, text):
    """The deviations that were seen can be had on demand."""
    simulated.simulator.script(fault)

    response = await simulated.post("/search", {"query": QUERY})

    assert response.status_code == status
    assert response.text.startswith(text)


# --- faults of the connection -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", [Fault.reset(), Fault.close(), Fault.cut(), Fault.truncate(), Fault.garbage()]
)
async def test_a_connection_breaks_on_demand(simulated, fault):
    """A client sees a broken connection, and a good one at the next call."""
    simulated.simulator.script(fault)

    with pytest.raises(httpx.TransportError):
        await simulated.post("/search", {"query": QUERY})

    assert await simulated.search()


@pytest.mark.parametrize("fault", [Fault.hang(), Fault.drip(0.05), Fault.delay(5)])
async def test_an_answer_is_late_on_demand(simulated, fault):
    """A client with a limit loses patience."""
    simulated.simulator.script(fault)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await simulated.post("/search", {"query": QUERY})


async def test_a_dead_port_refuses():
    """Nobody listens, and nobody else can take the port meanwhile."""
    with DeadPort() as dead:
        async with httpx.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(dead.base_url)


async def test_faults_come_in_order(simulated):
    """A script comes first, then a text in the query, then what always happens; recovering forgets all."""
    simulator = simulated.simulator
    simulator.always(Fault.status(500))
    simulator.when("harbour", Fault.status(429))
    simulator.script(Fault.status(401), times=2)

    async def status_of(query):
        return (await simulated.post("/search", {"query": query})).status_code

    seen = [await status_of(query) for query in ("harbour", "harbour", "harbour", "other")]
    simulator.recover()

    assert seen == [401, 401, 429, 500]
    assert await status_of("harbour") == 200
    assert simulator.count == 5
    assert simulator.counts == {"/search": 5}
    assert simulator.calls[0].json == {"query": "harbour"}


async def test_an_unknown_variant_is_a_fault_of_the_test(simulated):
    """A misspelled variant does not pass as a good answer."""
    with pytest.raises(ValueError, match="no variant"):
        simulated.simulator.script(Fault.variant("mispelled"))


# --- Jina ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def jina():
    """A simulated Jina."""
    async with JinaSimulator() as simulator:
        yield simulator


HEADERS = {"Authorization": f"Bearer {JinaSimulator.api_key}", "Accept": "application/json"}
NO_CONTENT = {**HEADERS, "X-Respond-With": "no-content"}


async def test_jina_search_needs_a_key(jina, client):
    """Without a key 40103, with an unknown one 40102; the reader is open without."""
    accept = {"Accept": "application/json"}
    without = await client.post(jina.search_url, json={"q": QUERY}, headers=accept)
    wrong = await client.post(
        jina.search_url, json={"q": QUERY}, headers={**accept, "Authorization": "Bearer x"}
    )
    read = await client.post(jina.reader_url, json={"url": "https://a.example"}, headers=accept)

    assert (without.status_code, without.json()["status"]) == (401, 40103)
    assert (wrong.status_code, wrong.json()["status"]) == (401, 40102)
    assert read.status_code == 200


async def test_jina_reader_is_limited_without_a_key(jina, client):
    """Strangers read twenty pages a minute, then wait."""
    for _ in range(ANONYMOUS_PER_MINUTE):
        await client.post(jina.reader_url, json={"url": "https://a.example"})
    refusal = await client.post(jina.reader_url, json={"url": "https://a.example"})

    assert refusal.status_code == 429
    assert refusal.json()["retryAfter"] == int(refusal.headers["retry-after"])


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("application/json", "application/json"),
        ("*/*", "text/plain; charset=utf-8"),
        ("application/json, text/plain, */*", "text/plain; charset=utf-8"),
        ("text/event-stream", "text/event-stream"),
    ],
)
async def test_jina_answers_text_unless_asked_for_json(jina, client, accept, content_type):
    """Whoever admits text gets text, on both hosts."""
    headers = {**HEADERS, "Accept": accept}
    found = await client.post(jina.search_url, json={"q": QUERY}, headers=headers)
    read = await client.post(jina.reader_url, json={"url": "https://a.example"}, headers=headers)

    assert found.headers["content-type"] == read.headers["content-type"] == content_type


async def test_jina_errors_are_a_line_for_who_takes_no_json(jina, client):
    """Without JSON the error is its readable message."""
    response = await client.post(jina.search_url, json={"q": QUERY}, headers={"Accept": "text/plain"})

    assert response.status_code == 401
    assert response.text.startswith("AuthenticationRequiredError: ")


@pytest.mark.parametrize(
    ("body", "path"), [({"num": 21}, "num"), ({"num": -1}, "num"), ({"gl": "germany"}, "gl")]
)
async def test_jina_refuses_bad_parameters(jina, client, body, path):
    """A value out of range is 400 and names the parameter; unknown ones are ignored."""
    refusal = await client.post(jina.search_url, json={"q": QUERY, **body}, headers=HEADERS)
    ignored = await client.post(jina.search_url, json={"q": QUERY, "tbs": "qdr:d"}, headers=HEADERS)

    assert (refusal.status_code, refusal.json()["status"], refusal.json()["path"]) == (400, 40001, path)
    assert ignored.status_code == 200


async def test_jina_answers_an_empty_query_with_help(jina, client):
    """Nothing asked is a 200 with an object in `data`; so is the index, which tells the balance."""
    empty = await client.post(jina.search_url, json={}, headers=HEADERS)
    index = await client.get(jina.reader_url, headers=HEADERS)

    assert isinstance(empty.json()["data"], dict)
    assert index.json()["data"]["balanceLeft"] == 10_000_000


@pytest.mark.parametrize(
    ("path", "kwargs"),
    [
        ("", {"json": {"q": "tides"}}),
        ("", {"params": {"q": "tides"}}),
        ("search", {"params": {"q": "tides"}}),
        ("tides", {}),
    ],
)
async def test_jina_search_is_asked_in_several_ways(jina, client, path, kwargs):
    """Body, query string and path mean the same."""
    method = "POST" if "json" in kwargs else "GET"
    response = await client.request(method, jina.search_url + path, headers=NO_CONTENT, **kwargs)

    assert "tides" in response.json()["data"][0]["title"]


async def test_jina_reads_a_path(jina, client):
    """The reader takes the URL in its path as well."""
    response = await client.get(f"{jina.reader_url}https://a.example/x", headers=HEADERS)

    assert response.json()["data"]["url"] == "https://a.example/x"


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({}, 10_000),
        ({"num": 1}, 10_000),
        ({"num": 11}, 20_000),
        ({"engine": "bing"}, 30_000),
        ({"type": "news", "engine": "bing"}, 50_000),
    ],
)
async def test_jina_charges_each_started_ten(jina, client, body, tokens):
    """Without content the price is fixed, told in body and header, and taken from the balance."""
    response = await client.post(jina.search_url, json={"q": QUERY, **body}, headers=NO_CONTENT)

    assert response.json()["meta"]["usage"]["tokens"] == tokens == int(response.headers["x-usage-tokens"])
    assert jina.balance == 10_000_000 - tokens
    assert {item["content"] for item in response.json()["data"]} == {""}


async def test_jina_ends_at_its_balance(client):
    """What the balance does not cover is refused."""
    async with JinaSimulator(balance=9_999) as simulator:
        response = await client.post(simulator.search_url, json={"q": QUERY}, headers=NO_CONTENT)

    assert (response.status_code, response.json()["status"]) == (402, 40203)


@pytest.mark.parametrize("number", sorted(ERRORS))
async def test_jina_errors_have_their_envelope(jina, client, number):
    """Each row of the error table can be had on demand."""
    status, name, _ = ERRORS[number]
    jina.script(Fault.status(status, number=number, retry_after=17 if status == 429 else None))

    response = await client.post(jina.search_url, json={"q": QUERY}, headers=HEADERS)

    envelope = response.json()
    assert (response.status_code, envelope["code"], envelope["status"], envelope["name"]) == (
        status,
        status,
        number,
        name,
    )
    assert envelope["data"] is None
    assert envelope["readableMessage"] == f"{name}: {envelope['message']}"
    assert envelope.get("retryAfter") == (17 if status == 429 else None)


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [(Fault.status(500, shape="raw"), 500, '{"code":500,"name":"Error"'), (Fault.status(524), 524, "<html>")],
)
async def test_jina_errors_have_their_other_forms(jina, client, fault, status, text):
    """A raw exception and the page of the edge can be had on demand."""
    jina.script(fault)

    response = await client.post(jina.search_url, json={"q": QUERY}, headers=HEADERS)

    assert response.status_code == status
    assert response.text.startswith(text)


# --- the official client ------------------------------------------------------------------------------------


STATUSES = {
    400: tavily.BadRequestError,
    401: tavily.InvalidAPIKeyError,
    403: tavily_errors.ForbiddenError,
    429: tavily.UsageLimitExceededError,
    432: tavily_errors.ForbiddenError,
    433: tavily_errors.ForbiddenError,
}


@pytest.fixture
def official(simulated):
    """The official asynchronous client, pointed at the simulator."""
    return tavily.AsyncTavilyClient(
        api_key=simulated.simulator.api_key, api_base_url=simulated.simulator.base_url
    )


async def test_the_official_client_searches_and_extracts(official):
    """Search and extract work as against the real service."""
    async with official:
        found = await official.search(QUERY, max_results=3, include_answer=True)
        read = await official.extract(["https://a.example/1", "https://a.example/gone"])

    assert len(found["results"]) == 3
    assert QUERY in found["answer"]
    assert (len(read["results"]), len(read["failed_results"])) == (1, 1)


@pytest.mark.parametrize("status", sorted(STATUSES))
async def test_the_official_client_maps_the_errors(official, simulated, status):
    """Each documented status raises the client's own exception, with the text of the envelope."""
    simulated.simulator.script(Fault.status(status, text="in so many words"))

    async with official:
        with pytest.raises(STATUSES[status], match="in so many words"):
            await official.search(QUERY)


async def test_the_official_blocking_client_works_too(simulated):
    """The synchronous client, also with a slash at the end of its base."""
    simulator = simulated.simulator
    blocking = tavily.TavilyClient(api_key=simulator.api_key, api_base_url=simulator.base_url + "/")

    found = await asyncio.to_thread(blocking.search, QUERY)
    blocking.session.close()

    assert found["query"] == QUERY
    assert simulator.calls[0].path == "//search"


# --- as a process -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["tavily_simulator", "jina_simulator"])
async def test_a_simulator_runs_as_a_process(client, module):
    """Started from the command line it prints its URL, takes orders over HTTP and tells what it counted."""
    process = subprocess.Popen(  # noqa: ASYNC220 - started once, and read one line of
        [sys.executable, "-m", f"tests.support.{module}", "--port", "0", "--delay-ms", "1"],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        url = (await asyncio.to_thread(process.stdout.readline)).strip()
        orders = {
            "clear": True,
            "delay_s": 0.0,
            "script": [{"kind": "status", "code": 429, "retry_after": "9"}],
        }
        obeyed = await client.post(f"{url}/_control", json=orders)
        refused = await client.post(f"{url}/_control", json={"always": {"kind": "explode"}})
        answer = await client.post(f"{url}/search", json={"query": QUERY})
        tally = (await client.get(f"{url}/_control")).json()
        calls = (await client.get(f"{url}/_control/calls")).json()["calls"]
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)
        process.stdout.close()

    assert (obeyed.status_code, refused.status_code) == (200, 400)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "9")
    assert (tally["count"], tally["by_path"]) == (1, {"/search": 1})
    assert calls[0]["json"] == {"query": QUERY}
