"""The simulated Tavily behaves as the contract of the real one says, and the official client cannot tell."""

from __future__ import annotations

import asyncio

import httpx
import pytest
import tavily
from tavily import errors as tavily_errors

from tests.support.faults import Fault
from tests.support.tavily_simulator import TavilySimulator

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


# --- the official client ---


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


async def test_the_official_client_maps_crawls_and_researches(official, simulated):
    """Its other methods work as against the real service, as long as that answers 200 to a new research."""
    simulated.simulator.relays.created_status = 200
    async with official:
        mapped = await official.map("a.example", limit=3)
        crawled = await official.crawl("a.example", limit=12, include_usage=True)
        begun = await official.research("tides", model="mini")
        looks = [await official.get_research(begun["request_id"], include_usage=True) for _ in range(2)]
        said = await official.feedback(request_id=mapped["request_id"], comment="good")

    assert len(mapped["results"]) == 3
    assert (len(crawled["results"]), crawled["usage"]) == (12, {"credits": 2 + 3})
    assert [look["status"] for look in looks] == ["in_progress", "completed"]
    assert looks[1]["usage"] == {"credits": 7}
    assert said["success"] is True
    assert simulated.simulator.credits_used == 1 + 5 + 7


async def test_a_research_is_known_to_its_own_key_alone(simulated, client):
    """Another key of the same account, as far as we know, finds nothing."""
    simulator = simulated.simulator
    simulator.keys.add("tvly-other")
    begun = (await simulated.post("/research", {"input": "tides"})).json()
    statuses = [
        (
            await client.get(f"{simulator.base_url}/research/{begun['request_id']}", headers=headers)
        ).status_code
        for headers in (
            {"Authorization": f"Bearer {simulator.api_key}"},
            {"Authorization": "Bearer tvly-other"},
            {"Authorization": "Bearer tvly-none"},
        )
    ]

    assert statuses == [202, 404, 401]
