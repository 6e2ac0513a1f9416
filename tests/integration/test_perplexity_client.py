"""The official client of Perplexity, sync and async, works against AMOS: only its base URL is told."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import perplexity
import pytest

from orchestrator.key_admin import KeyWish
from orchestrator.principals import OwnLimits
from tests.support.faults import Fault
from tests.support.gateway_server import GatewayServer, serving
from tests.support.jina_simulator import JinaSimulator
from tests.support.stillness import undisturbed
from tests.support.tavily_simulator import TavilySimulator

EVERY_OPTION: dict[str, Any] = {
    "country": "DE",
    "display_server_time": True,
    "last_updated_after_filter": "1/1/2026",
    "last_updated_before_filter": "11/1/2026",
    "max_results": 7,
    "max_tokens": 1_000,
    "max_tokens_per_page": 50,
    "search_after_date_filter": "01/01/2026",
    "search_before_date_filter": "11/1/2026",
    "search_context_size": "high",
    "search_domain_filter": ["almanac.example", "-forum.example"],
    "search_language_filter": ["de"],
    "search_mode": "web",
    "search_type": "fast",
}
"""Every argument of `search.create` but `search_recency_filter`, which excludes dates."""

ASKED_OF_TAVILY: dict[str, Any] = {
    "query": "tide tables",
    "max_results": 7,
    "search_depth": "fast",
    "start_date": "2026-01-01",
    "end_date": "2026-11-01",
    "include_domains": ["almanac.example"],
    "exclude_domains": ["forum.example"],
    "country": "germany",
    "language": "de",
    "filter_by_language": True,
    "include_usage": True,
}

Search = Callable[..., Any]
"""Makes a client of one kind, has it search, and closes it: `await search("tides", max_results=3)`."""


@pytest.fixture
async def amos(tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator) -> AsyncIterator[GatewayServer]:
    """A gateway with both providers."""
    async with serving(tmp_path, tavily=tavily, jina=jina, deadline_s=2) as running:
        yield running


@pytest.fixture(params=["sync", "async"])
def search(request: pytest.FixtureRequest, amos: GatewayServer, monkeypatch: pytest.MonkeyPatch) -> Search:
    """Searches with the official client of one kind, pointed at the gateway."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")

    async def ask(
        query: str | list[str],
        *,
        key: str = "pplx-mine",
        path: str = "/perplexity",
        retries: int = 0,
        **options: Any,
    ) -> Any:
        told = {"api_key": key, "base_url": amos.base_url + path, "max_retries": retries}
        if request.param == "async":
            async with perplexity.AsyncPerplexity(**told) as client:
                return await client.search.create(query=query, **options)

        def blocking() -> Any:
            with perplexity.Perplexity(**told) as client:
                return client.search.create(query=query, **options)

        return await asyncio.to_thread(blocking)

    return ask


def check(answer: Any, count: int) -> None:
    """What users of the client read from a search."""
    assert isinstance(answer.id, str)
    assert len(answer.results) == count
    for one in answer.results:
        assert all(isinstance(text, str) and text for text in (one.title, one.url, one.snippet))
        assert one.date is None or isinstance(one.date, str)
        assert one.last_updated is None


@pytest.mark.parametrize("path", ["/perplexity", "/perplexity/", "/v1", "//v1/"])
async def test_search(search: Search, tavily: TavilySimulator, path: str):
    """A search with nothing but a query gives ten results, whatever base URL is told."""
    answer = await search("tide tables", path=path)

    check(answer, 10)
    assert answer.server_time is None
    assert tavily.calls[0].json == {"query": "tide tables", "max_results": 10, "include_usage": True}


async def test_every_option(search: Search, tavily: TavilySimulator):
    """Every argument the client has arrives at the provider, or is named in the answer."""
    arguments = set(inspect.signature(perplexity.Perplexity(api_key="x").search.create).parameters)
    transport = {"extra_headers", "extra_query", "extra_body", "timeout"}
    assert arguments - transport == {*EVERY_OPTION, "query", "search_recency_filter"}

    answer = await search("tide tables", **EVERY_OPTION)

    assert tavily.calls[0].json == ASKED_OF_TAVILY
    assert answer.server_time
    assert all(len(one.snippet) <= 200 for one in answer.results)
    assert answer.amos["unsupported"] == [
        *("last_updated_after_filter", "last_updated_before_filter", "search_context_size")
    ]


async def test_recency(search: Search, tavily: TavilySimulator):
    """A window of time arrives as one."""
    await search("tide tables", search_recency_filter="week")

    assert tavily.calls[0].json["time_range"] == "week"


async def test_several_queries(search: Search, tavily: TavilySimulator, amos: GatewayServer):
    """Each is an execution of its own in one trace; what was asked before, or twice, is not paid again."""
    await search("tide tables")

    answer = await search(["tide tables", "harbour museum", "Tide  Tables"], max_results=10)

    check(answer, 10)
    assert [call.json["query"] for call in tavily.calls] == ["tide tables", "harbour museum"]
    searches = answer.amos["searches"]
    assert [(one["query"], one["cache"]) for one in searches] == [
        *(("tide tables", "l1"), ("harbour museum", "miss"))
    ]
    await amos.drain()
    traces = {amos.events(one["execution_id"])[0]["trace_id"] for one in searches}
    assert len(traces) == 1


async def test_one_of_several_queries_fails(search: Search, tavily: TavilySimulator, jina: JinaSimulator):
    """The others are the answer, and the failure is told beside them."""
    await search("tide tables")
    tavily.always(Fault.status(500))
    jina.always(Fault.status(500))

    answer = await search(["harbour museum", "tide tables"])

    check(answer, 10)
    failed, found = answer.amos["searches"]
    assert (failed["code"], found["cache"]) == ("all_providers_failed", "l1")


async def test_an_empty_answer(search: Search, tavily: TavilySimulator, jina: JinaSimulator):
    """Nothing found is no error."""
    tavily.always(Fault.variant("empty"))
    jina.always(Fault.variant("empty"))

    check(await search("tide tables"), 0)


async def test_jina_s_answer_reads_the_same(search: Search, tavily: TavilySimulator):
    """An answer of the fallback has the same members with the same types."""
    tavily.always(Fault.status(500))

    answer = await search("tide tables", max_results=3)

    check(answer, 3)
    assert answer.amos["provider"] == "jina"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"query": "x"}, "query: Query is too short"),
        ({"query": []}, "query: Query is missing"),
        ({"query": ["tides"] * 6}, "At most 5"),
        ({"query": "tides", "max_results": 0}, "max_results"),
        ({"query": "tides", "search_domain_filter": ["-"]}, "search_domain_filter[0]: Not a domain"),
        ({"query": "tides", "search_after_date_filter": "2026-01-01"}, "MM/DD/YYYY"),
        (
            {
                "query": "tides",
                "search_after_date_filter": "2/1/2026",
                "search_before_date_filter": "1/1/2026",
            },
            "search_after_date_filter cannot be after search_before_date_filter",
        ),
        ({"query": "tides", "country": "XX"}, "country"),
    ],
)
async def test_a_bad_request(search: Search, tavily: TavilySimulator, options: dict[str, Any], words: str):
    """It is BadRequestError, whose text says in its own words what is wrong; nobody is asked."""
    with pytest.raises(perplexity.BadRequestError) as refused:
        await search(**options)

    assert words in str(refused.value)
    assert refused.value.body["error"]["type"] == "invalid_request"
    assert tavily.calls == []


@pytest.mark.parametrize(
    ("faults", "error", "code"),
    [
        (Fault.status(432), perplexity.RateLimitError, "quota_exhausted"),
        (Fault.status(500), perplexity.InternalServerError, "all_providers_failed"),
        (Fault.hang(), perplexity.InternalServerError, "all_providers_failed"),
    ],
)
async def test_nobody_can_answer(
    search: Search,
    tavily: TavilySimulator,
    jina: JinaSimulator,
    faults: Fault,
    error: type[perplexity.APIStatusError],
    code: str,
):
    """The exception is that of its status, and its text is the sentence with the reason."""
    tavily.always(faults)
    jina.always(Fault.status(402) if code == "quota_exhausted" else faults)

    async def attempt(_number: int) -> None:
        with pytest.raises(error) as failed:
            await search("tide tables", retries=2 if code == "quota_exhausted" else 0)

        assert failed.value.body["error"]["type"] == code
        assert failed.value.body["error"]["code"] == failed.value.status_code
        assert len(failed.value.body["amos"]["execution_id"]) == 36

    # Where all stands still the time of the next provider may be over: another error, and a true one.
    await undisturbed(attempt, still_s=0.2)


async def test_only_a_cached_answer_is_wanted(search: Search, tavily: TavilySimulator):
    """The wishes of a caller for the cache are heeded at this door too."""
    only_cached = {"Cache-Control": "only-if-cached"}

    with pytest.raises(perplexity.InternalServerError) as failed:
        await search("tide tables", extra_headers=only_cached)
    assert (failed.value.status_code, failed.value.body["error"]["type"]) == (504, "not_in_cache")
    assert tavily.calls == []

    await search("tide tables")
    check(await search("tide tables", extra_headers=only_cached), 10)


async def test_unknown_callers(search: Search, amos: GatewayServer):
    """A wrong key is AuthenticationError, one without the scope PermissionDeniedError, another opens."""
    await amos.drain()
    assert amos.gateway.keys is not None
    able = await amos.gateway.keys.create(KeyWish(client="acme", scopes=("search",)), by="test")
    unable = await amos.gateway.keys.create(KeyWish(client="acme", scopes=("extract",)), by="test")

    with pytest.raises(perplexity.AuthenticationError):
        await search("tide tables")
    with pytest.raises(perplexity.PermissionDeniedError):
        await search("tide tables", key=unable.raw)

    check(await search("tide tables", key=able.raw), 10)


async def test_a_caller_who_asks_too_much(search: Search, amos: GatewayServer):
    """It is RateLimitError, and its wait is in the headers; each query of a list counts."""
    await amos.drain()
    assert amos.gateway.keys is not None
    key = await amos.gateway.keys.create(KeyWish(client="acme", limits=OwnLimits(burst=2)), by="test")

    await search(["tide tables", "harbour museum"], key=key.raw)
    with pytest.raises(perplexity.RateLimitError) as limited:
        await search("tide tables", key=key.raw)

    assert int(limited.value.response.headers["retry-after"]) >= 1
    assert limited.value.response.headers["ratelimit"].startswith('"')


async def test_what_is_left_after_several_queries(amos: GatewayServer):
    """The headers say what may follow after all of them, not after the first."""
    await amos.drain()
    assert amos.gateway.keys is not None
    key = await amos.gateway.keys.create(KeyWish(client="acme", limits=OwnLimits(burst=5)), by="test")
    body = {"query": ["tide tables", "harbour museum", "ebb"]}

    answer = await amos.client.post("/v1/search", json=body, headers={"Authorization": f"Bearer {key.raw}"})

    assert answer.headers["ratelimit"].startswith('"burst";r=2;')


async def test_paths_nobody_offers(search: Search):
    """NotFoundError tells what there is."""
    with pytest.raises(perplexity.NotFoundError, match="/perplexity/search"):
        await search("tide tables", path="/perplexity/v9")
