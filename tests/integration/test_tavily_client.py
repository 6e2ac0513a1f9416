"""The official client of Tavily, sync and async, works against AMOS unchanged: only its base URL is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
import requests
import tavily as tavily_python
from tavily import errors as tavily_errors

from tests.support.gateway_server import GatewayServer, serving
from tests.support.jina_simulator import JinaSimulator
from tests.support.simulator import Fault
from tests.support.tavily_clients import HTTP_ERRORS, Client, MakeClient
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "https://almanac.example/tides"
DEAD_PAGE = "https://almanac.example/gone"

EVERY_OPTION: dict[str, Any] = {
    "search_depth": "advanced",
    "topic": "news",
    "start_date": "2026-01-01",
    "end_date": "2026-11-01",
    "days": 30,
    "max_age_hours": 12,
    "max_results": 7,
    "include_domains": ["almanac.example", "*.museum.example"],
    "exclude_domains": ["forum.example"],
    "include_domains_mode": "restrict",
    "include_answer": "advanced",
    "include_raw_content": "markdown",
    "include_images": True,
    "country": "germany",
    "auto_parameters": False,
    "include_favicon": True,
    "include_usage": True,
    "exact_match": False,
    "fetch_timeout": 3.5,
    "cache_fallback": True,
    "language": "de",
    "filter_by_language": True,
    # What the client does not know by name goes into the body as it is.
    "chunks_per_source": 2,
    "include_image_descriptions": True,
    "include_published_date": True,
    "safe_search": True,
}
"""Every named argument of `search` (but `time_range`, which excludes dates) and some it passes on unknown."""


@pytest.fixture
async def amos(tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator):
    """A gateway with both providers, also under the prefix /t."""
    async with serving(tmp_path, tavily=tavily, jina=jina, deadline_s=2, root_paths=("/t",)) as running:
        yield running


def check_search(answer: dict[str, Any], count: int = 5) -> None:
    """What users of the client read from a search."""
    assert answer["query"] == "tide tables"
    assert answer["follow_up_questions"] is None
    assert answer["answer"] is None or isinstance(answer["answer"], str)
    assert isinstance(answer["images"], list)
    assert isinstance(answer["response_time"], float)
    assert isinstance(answer["request_id"], str)
    assert len(answer["results"]) == count
    for result in answer["results"]:
        assert all(isinstance(result[name], str) and result[name] for name in ("title", "url", "content"))
        assert isinstance(result["score"], float)
        assert result["raw_content"] is None or isinstance(result["raw_content"], str)
    scores = [result["score"] for result in answer["results"]]
    assert scores == sorted(scores, reverse=True)


# --- answers ------------------------------------------------------------------------------------------------


async def test_search(make_client: MakeClient, tavily: TavilySimulator):
    """A search with nothing but a query gives what the client's users read."""
    check_search(await make_client().call("search", "tide tables"))

    assert tavily.calls[0].json == {"query": "tide tables", "include_usage": True}
    assert tavily.calls[0].headers["authorization"] == f"Bearer {tavily.api_key}"


async def test_jinas_answer_reads_the_same(make_client: MakeClient, tavily: TavilySimulator):
    """An answer of the fallback has the same members with the same types."""
    tavily.always(Fault.status(500))

    answer = await make_client().call("search", "tide tables")

    check_search(answer)
    assert answer["amos"]["provider"] == "jina"


async def test_nothing_found(make_client: MakeClient, tavily: TavilySimulator, jina: JinaSimulator):
    """Nothing found is an empty list, no error."""
    tavily.always(Fault.empty())
    jina.always(Fault.empty())

    check_search(await make_client().call("search", "tide tables"), count=0)


async def test_every_option_reaches_tavily(make_client: MakeClient, tavily: TavilySimulator):
    """All options at once arrive at Tavily exactly as they were given."""
    answer = await make_client().call("search", "tide tables", **EVERY_OPTION)

    assert tavily.calls[0].json == {"query": "tide tables", **EVERY_OPTION}
    assert answer["usage"] == {"credits": 2}
    assert isinstance(answer["answer"], str)
    assert answer["images"]


async def test_nulls_are_not_given(amos: GatewayServer, tavily: TavilySimulator):
    """Null for every optional field, as clients before 0.7.7 send it, is the same as leaving it out."""
    response = await amos.search("tide tables", **dict.fromkeys(EVERY_OPTION))

    check_search(response.json())
    assert tavily.calls[0].json == {"query": "tide tables", "include_usage": True}


async def test_empty_domain_lists_are_no_filter(make_client: MakeClient, tavily: TavilySimulator):
    """Empty lists, as LangChain sends them, filter nothing and are not passed on."""
    answer = await make_client().call("search", "tide tables", include_domains=[], exclude_domains=[])

    check_search(answer)
    assert "include_domains" not in tavily.calls[0].json


async def test_usage_only_when_asked_for(make_client: MakeClient):
    """`usage` is in the answer when the caller wants it; a hit has spent nothing."""
    client = make_client()
    without = await client.call("search", "tide tables")
    with_usage = await client.call("search", "harbour opening hours", include_usage=True)
    cached = await client.call("search", "harbour opening hours", include_usage=True)

    assert "usage" not in without
    assert with_usage["usage"] == {"credits": 1}
    assert cached["usage"] == {"credits": 0}


@pytest.mark.filterwarnings("ignore:qna_search is deprecated:DeprecationWarning")
async def test_qna_search(make_client: MakeClient, tavily: TavilySimulator):
    """qna_search returns Tavily's answer as a string."""
    answer = await make_client().call("qna_search", "tide tables")

    assert "tide tables" in answer
    assert tavily.calls[0].json["search_depth"] == "advanced"
    assert tavily.calls[0].json["include_answer"] is True


@pytest.mark.parametrize("urls", [PAGE, [PAGE]], ids=["string", "list"])
async def test_extract(make_client: MakeClient, tavily: TavilySimulator, urls: str | list[str]):
    """One page, as string or list, is read; the client's timeout is passed on."""
    answer = await make_client().call("extract", urls)

    assert [result["url"] for result in answer["results"]] == [PAGE]
    assert answer["results"][0]["raw_content"]
    assert answer["failed_results"] == []
    assert isinstance(answer["response_time"], float)
    assert tavily.calls[0].json["timeout"] == 30


async def test_extract_with_a_dead_page(make_client: MakeClient):
    """A dead page is in failed_results beside those that could be read."""
    answer = await make_client().call("extract", [PAGE, DEAD_PAGE], extract_depth="advanced", format="text")

    assert [result["url"] for result in answer["results"]] == [PAGE]
    assert [failure["url"] for failure in answer["failed_results"]] == [DEAD_PAGE]
    assert isinstance(answer["failed_results"][0]["error"], str)


# --- where and as whom --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "/", "/t", "/t/"])
async def test_any_form_of_the_base_url(make_client: MakeClient, path: str):
    """A base with a slash at its end, with our prefix, or both, is served without a redirect."""
    client = make_client(path)

    check_search(await client.call("search", "tide tables"))
    assert (await client.call("extract", PAGE))["results"]


async def test_a_key_in_the_body(make_client: MakeClient, tavily: TavilySimulator):
    """A key in the body, as old clients send it, is taken and goes no further."""
    check_search(await make_client().call("search", "tide tables", api_key="tvly-old"))

    assert "api_key" not in tavily.calls[0].json
    assert tavily.calls[0].headers["authorization"] == f"Bearer {tavily.api_key}"


async def test_headers_of_a_project(make_client: MakeClient, tavily: TavilySimulator):
    """The client's own headers do no harm and are not passed on."""
    check_search(await make_client().call("search", "tide tables", project_id="p", session_id="s"))

    assert "x-project-id" not in tavily.calls[0].headers


async def test_keyless(make_client: MakeClient):
    """Without a key the client is served too, as long as it is the local operator's."""
    client = make_client(api_key=None)

    check_search(await client.call("search", "tide tables"))


# --- errors -------------------------------------------------------------------------------------------------


async def test_a_bad_request(make_client: MakeClient, tavily: TavilySimulator):
    """400 is BadRequestError with our sentence."""
    with pytest.raises(tavily_python.BadRequestError, match=r"^query: Query is too short"):
        await make_client().call("search", "x")
    with pytest.raises(tavily_python.BadRequestError, match=r"^urls: Max 20 URLs"):
        await make_client().call("extract", [PAGE] * 21)

    assert tavily.count == 0


async def test_a_stranger(amos: GatewayServer, request: pytest.FixtureRequest):
    """401 is InvalidAPIKeyError with what to do: here for a client behind a proxy, sync and async."""
    session = requests.Session()
    session.trust_env = False
    session.headers["X-Forwarded-For"] = "203.0.113.7"
    client = httpx.AsyncClient(
        base_url=amos.base_url, headers={"X-Forwarded-For": "203.0.113.7"}, trust_env=False
    )
    sync = Client(
        tavily_python.TavilyClient(api_key="tvly-mine", api_base_url=amos.base_url, session=session)
    )
    asynchronous = Client(tavily_python.AsyncTavilyClient(api_key="tvly-mine", client=client))
    with session:
        async with client:
            for stranger in (sync, asynchronous):
                with pytest.raises(tavily_python.InvalidAPIKeyError, match="not through a proxy"):
                    await stranger.call("search", "tide tables")


async def test_all_quotas_gone(make_client: MakeClient, tavily: TavilySimulator, jina: JinaSimulator):
    """432 is ForbiddenError, and its text tells which providers have none left."""
    tavily.always(Fault.status(433))
    jina.always(Fault.status(402))

    with pytest.raises(tavily_errors.ForbiddenError, match="tavily: quota; jina: quota"):
        await make_client().call("search", "tide tables")
    with pytest.raises(tavily_errors.ForbiddenError, match="quota"):
        await make_client().call("extract", PAGE)


async def test_everybody_down(make_client: MakeClient, tavily: TavilySimulator, jina: JinaSimulator):
    """503 is the HTTP error of the library beneath, once: the client does not retry."""
    tavily.always(Fault.status(500))
    jina.always(Fault.status(500))

    with pytest.raises(HTTP_ERRORS, match="503"):
        await make_client().call("search", "tide tables")


async def test_an_upstreams_refusal_of_our_key_is_not_the_callers(
    make_client: MakeClient, tavily: TavilySimulator, jina: JinaSimulator
):
    """When Tavily refuses *our* key its clients do not see InvalidAPIKeyError."""
    tavily.always(Fault.status(401))
    check_search(await make_client().call("search", "tide tables"))

    jina.always(Fault.status(401))
    with pytest.raises(HTTP_ERRORS, match="503"):
        await make_client().call("search", "harbour opening hours")


async def test_an_impatient_caller(make_client: MakeClient, tavily: TavilySimulator, jina: JinaSimulator):
    """The client's own timeout is its TimeoutError; the gateway is unharmed."""
    tavily.delay_s = jina.delay_s = 0.8
    client = make_client()

    with pytest.raises(tavily_errors.TimeoutError):
        await client.call("search", "tide tables", timeout=0.3)

    tavily.recover()
    check_search(await client.call("search", "tide tables"))
