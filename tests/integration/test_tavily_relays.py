"""Maps, crawls, researches and feedback of the official client, sync and async, reach Tavily through AMOS."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
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

SITE = "https://almanac.example"

EVERY_OPTION: dict[str, dict[str, Any]] = {
    "map": {
        "instructions": "Find the tide tables",
        "max_depth": 2,
        "max_breadth": 10,
        "limit": 12,
        "select_paths": ["/tides/.*"],
        "select_domains": ["^almanac.example$"],
        "exclude_paths": ["/private/.*"],
        "exclude_domains": ["^forum.example$"],
        "allow_external": False,
        "include_images": True,
        "include_usage": True,
        "timeout": 60,
        # What the client does not know by name goes into the body as it is.
        "brand_new": {"deep": [1]},
    }
}
EVERY_OPTION["crawl"] = EVERY_OPTION["map"] | {
    "extract_depth": "advanced",
    "format": "text",
    "include_favicon": True,
    "chunks_per_source": 2,
}


@pytest.fixture
async def amos(tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator) -> AsyncIterator[GatewayServer]:
    """A gateway with both providers, also under the prefix /t."""
    async with serving(tmp_path, tavily=tavily, jina=jina, root_paths=("/t",)) as running:
        yield running


# --- answers ------------------------------------------------------------------------------------------------


async def test_map(make_client: MakeClient, amos: GatewayServer, tavily: TavilySimulator):
    """A map is Tavily's own answer; it is recorded with its price, and each one is made anew."""
    client = make_client()

    answers = [await client.call("map", SITE) for _ in range(2)]

    assert [call.json for call in tavily.calls] == [{"url": SITE, "timeout": 150, "include_usage": True}] * 2
    assert tavily.calls[0].headers["authorization"] == f"Bearer {tavily.api_key}"
    answer = answers[0]
    assert (answer["base_url"], len(answer["results"])) == (SITE, 12)
    assert isinstance(answer["response_time"], float)
    assert "usage" not in answer
    told = {name: answer["amos"][name] for name in ("provider", "cache", "credits", "cost_usd", "notes")}
    assert told == {"provider": "tavily", "cache": "relayed", "credits": 2.0, "cost_usd": 0.016, "notes": []}
    await amos.drain()
    last = amos.events(answer["amos"]["execution_id"])[-1]
    assert (last["operation"], last["cache"], last["results"]) == ("map", "relayed", 12)
    assert last["cost"] == {"amount": 2.0, "unit": "credits", "usd_micros": 16_000}


@pytest.mark.parametrize("method", ["map", "crawl"])
async def test_every_option_reaches_tavily(make_client: MakeClient, tavily: TavilySimulator, method: str):
    """All options at once arrive exactly as they were given, and the price is told to whoever asks for it."""
    answer = await make_client().call(method, "almanac.example", **EVERY_OPTION[method])

    assert tavily.calls[0].json == {"url": "almanac.example", **EVERY_OPTION[method]}
    assert answer["usage"] == {"credits": tavily.relays.credits[method]}
    assert answer["amos"]["credits"] == tavily.relays.credits[method]


async def test_a_crawl_is_made_harmless(make_client: MakeClient, tavily: TavilySimulator):
    """Pages come with their text, in which nothing acts or hides."""
    page = {"url": f"{SITE}/a", "raw_content": "Tides <script>steal()</script>\u202eare up"}
    tavily.always(Fault.body(json.dumps({"base_url": SITE, "results": [page], "request_id": "r"})))

    answer = await make_client().call("crawl", SITE)

    assert answer["results"] == [{"url": "https://almanac.example/a", "raw_content": "Tides are up"}]


@pytest.mark.parametrize("created", [200, 201])
async def test_a_research_from_its_beginning_to_its_end(
    make_client: MakeClient, tavily: TavilySimulator, created: int
):
    """A research begins with 200, is asked for under an id of ours, and ends with report and price."""
    tavily.relays.created_status = created
    client = make_client()

    begun = await client.call("research", "tides of the harbour", model="mini", output_schema={"a": {}})
    looks = [await client.call("get_research", begun["request_id"]) for _ in range(2)]
    told = await client.call("get_research", begun["request_id"], include_usage=True)

    assert (begun["status"], begun["model"]) == ("pending", "mini")
    given = {"input": "tides of the harbour", "model": "mini", "output_schema": {"a": {}}}
    assert tavily.calls[0].json == given | {"stream": False, "citation_format": "numbered"}
    assert [look["status"] for look in looks] == ["in_progress", "completed"]
    assert {look["request_id"] for look in looks} == {begun["request_id"]}
    assert "usage" not in looks[1]
    assert told["usage"] == {"credits": 7}
    assert told["content"].startswith("# Report")
    assert len(told["sources"]) == 2
    task, _, _ = begun["request_id"].partition(".")
    assert [(call.path, call.query) for call in tavily.calls[1:]] == [
        *[(f"/research/{task}", "")] * 2,
        (f"/research/{task}", "include_usage=true"),
    ]


async def test_a_research_that_fails_says_so(make_client: MakeClient):
    """That is an answer: the status is in the body."""
    client = make_client()
    begun = await client.call("research", "doomed")
    await client.call("get_research", begun["request_id"])

    assert (await client.call("get_research", begun["request_id"]))["status"] == "failed"


async def test_a_pending_research_is_202_as_at_tavily(amos: GatewayServer):
    """Whoever goes by the status alone does not take a pending research for a finished one."""
    begun = await amos.client.post("/research", json={"input": "tides"})
    looks = [await amos.client.get(f"/research/{begun.json()['request_id']}") for _ in range(2)]

    assert [answer.status_code for answer in (begun, *looks)] == [200, 202, 200]


async def test_feedback(make_client: MakeClient, tavily: TavilySimulator):
    """What was said of a map or a research arrives under the id Tavily knows."""
    client = make_client()
    mapped, begun = await client.call("map", SITE), await client.call("research", "tides")

    for answer in (mapped, begun):
        said = await client.call("feedback", request_id=answer["request_id"], human_score=1)
        assert said["success"] is True

    ids = [one["request_id"] for one in tavily.relays.feedback]
    assert ids == [mapped["request_id"], begun["request_id"].partition(".")[0]]
    assert tavily.relays.feedback[0]["human_score"] == 1


async def test_feedback_on_what_is_ours_goes_nowhere(make_client: MakeClient, tavily: TavilySimulator):
    """The id of a search is AMOS's own; the client learns that Tavily was not told."""
    client = make_client()
    found = await client.call("search", "tide tables")

    with pytest.raises(HTTP_ERRORS, match="501"):
        await client.call("feedback", request_id=found["request_id"], human_score=1)

    assert tavily.relays.feedback == []


# --- where and as whom --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "/", "/t", "/t/"])
async def test_any_form_of_the_base_url(make_client: MakeClient, path: str):
    """A base with a slash at its end, with our prefix, or both."""
    client = make_client(path)

    assert (await client.call("map", SITE))["results"]
    begun = await client.call("research", "tides")
    assert (await client.call("get_research", begun["request_id"]))["status"] == "in_progress"


async def test_a_session_or_client_of_the_callers_own(amos: GatewayServer):
    """An injected session or client with its own headers does as well."""
    with requests.Session() as session:
        session.trust_env = False
        sync = Client(tavily_python.TavilyClient(api_base_url=amos.base_url, session=session))
        assert (await sync.call("map", SITE))["results"]
    async with httpx.AsyncClient(base_url=amos.base_url, trust_env=False) as client:
        asynchronous = Client(tavily_python.AsyncTavilyClient(client=client))
        assert (await asynchronous.call("map", SITE))["results"]


async def test_a_key_in_the_body_goes_no_further(amos: GatewayServer, tavily: TavilySimulator):
    """Nor does a null, nor what clients say of themselves in headers."""
    body = {"url": SITE, "api_key": "tvly-old", "instructions": None}
    headers = {"X-Project-ID": "p", "X-Session-Id": "s", "X-Human-Id": "h", "X-Client-Source": "tavily-js"}
    answer = await amos.client.post("/map", json=body, headers=headers)

    assert answer.status_code == 200
    assert tavily.calls[0].json == {"url": SITE, "include_usage": True}
    assert not {name for name in tavily.calls[0].headers if name.startswith("x-")}


@pytest.mark.parametrize("method", ["map", "crawl", "research", "get_research", "feedback"])
async def test_keyless_clients_do_not_even_ask(make_client: MakeClient, tavily: TavilySimulator, method: str):
    """Without a key the client itself refuses what is not search or extract."""
    with pytest.raises(tavily_python.KeylessUnsupportedEndpointError):
        await make_client(api_key=None).call(method, "x")

    assert tavily.count == 0


# --- refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "argument", "options", "sentence"),
    [
        ("map", "", {}, "^url: No starting url provided"),
        ("map", SITE, {"max_depth": 6}, "^max_depth: Must be from 1 to 5"),
        ("map", SITE, {"max_breadth": 501}, "^max_breadth: Must be from 1 to 500"),
        ("map", "ftp://almanac.example", {}, "^url: Not an http or https URL"),
        ("crawl", "http://127.0.0.1:8080/", {}, "^url: The address is not on the public internet"),
        ("crawl", "https://localhost", {}, "^url: The address is not on the public internet"),
        ("crawl", SITE, {"limit": 0}, "^limit: Must be from 1 to 10000"),
        ("crawl", SITE, {"extract_depth": "deep"}, "^extract_depth: Invalid value"),
        ("research", " ", {}, "^input: The input is missing"),
        (
            "research",
            "tides",
            {"model": "huge"},
            "^model: Invalid value. Must be one of 'mini', 'pro', 'auto'",
        ),
        ("research", "tides", {"include_domains": ["a.example"] * 21}, "^include_domains: Max 20"),
    ],
)
async def test_a_bad_request(
    make_client: MakeClient,
    tavily: TavilySimulator,
    method: str,
    argument: str,
    options: dict[str, Any],
    sentence: str,
):
    """400 is BadRequestError with a sentence that names the field; nobody was asked."""
    with pytest.raises(tavily_python.BadRequestError, match=sentence):
        await make_client().call(method, argument, **options)

    assert tavily.count == 0


@pytest.mark.parametrize(
    ("status", "error", "text"),
    [
        (400, tavily_python.BadRequestError, "Tavily refuses this request to map as invalid"),
        (422, tavily_python.BadRequestError, "Tavily refuses this request to map as invalid"),
        (403, tavily_errors.ForbiddenError, "Tavily does not support this URL"),
        (432, tavily_errors.ForbiddenError, "tavily: quota"),
        (433, tavily_errors.ForbiddenError, "tavily: quota"),
        (401, HTTP_ERRORS, "503"),
        (429, HTTP_ERRORS, "503"),
        (500, HTTP_ERRORS, "503"),
        (502, HTTP_ERRORS, "503"),
    ],
)
async def test_what_tavily_refuses(
    make_client: MakeClient, tavily: TavilySimulator, status: int, error: type[Exception], text: str
):
    """What is wrong with the request is the caller's, our key and quota are not; each as its exception."""
    tavily.always(Fault.status(status))

    with pytest.raises(error, match=text):
        await make_client().call("map", SITE)

    assert tavily.count == 1  # nothing as dear as this is tried twice


@pytest.mark.parametrize("fault", [Fault.cut(), Fault.body("<html>"), Fault.body("{}"), Fault.reset()])
async def test_what_is_no_answer(amos: GatewayServer, tavily: TavilySimulator, fault: Fault):
    """An answer that is cut, none of JSON's or of another shape is a 503 in Tavily's envelope."""
    tavily.always(fault)

    answer = await amos.client.post("/crawl", json={"url": SITE})

    assert answer.status_code == 503
    assert "tavily" in answer.json()["detail"]["error"]


async def test_an_impatient_caller(make_client: MakeClient, tavily: TavilySimulator):
    """The client's own timeout is its TimeoutError."""
    tavily.delay_s = 1.0

    with pytest.raises(tavily_errors.TimeoutError):
        await make_client().call("research", "tides", timeout=0.3)


async def test_a_late_answer_is_504_before_the_caller_leaves(amos: GatewayServer, tavily: TavilySimulator):
    """Within the time the caller gave, and Tavily's circuit stays closed: the haste was the caller's."""
    tavily.always(Fault.hang())

    answers = await asyncio.gather(
        *(amos.client.post("/map", json={"url": SITE, "timeout": 1.0}) for _ in range(6))
    )

    assert {answer.status_code for answer in answers} == {504}
    assert tavily.count == 6
    assert tavily.calls[0].json["timeout"] == 10  # the least that Tavily takes


async def test_without_tavily(tmp_path: Path, jina: JinaSimulator):
    """501 in Tavily's envelope for each of them, with what is missing; no other provider is asked."""
    async with serving(tmp_path, jina=jina) as amos:
        answers = [
            await amos.client.post("/map", json={"url": SITE}),
            await amos.client.post("/crawl", json={"url": SITE}),
            await amos.client.post("/research", json={"input": "tides"}),
            await amos.client.post("/feedback", json={"request_id": "r"}),
            await amos.client.get("/research/abc"),
        ]

    assert [answer.status_code for answer in answers] == [501] * 5
    assert all("TAVILY_API_KEY" in answer.json()["detail"]["error"] for answer in answers)
    assert answers[4].json()["amos"]["code"] == "not_offered"
    assert jina.count == 0
