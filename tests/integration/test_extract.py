"""Pages are read one by one as far as caching and failing go, and together as far as paying goes."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.gateway_server import GatewayServer, serving
from tests.support.jina_simulator import JinaSimulator
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from pathlib import Path

A, B, C = (f"https://almanac.example/{name}" for name in "abc")
GONE = "https://almanac.example/gone"
"""A page that neither simulator can read."""


@pytest.fixture
async def amos(tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator):
    """A gateway with both providers."""
    async with serving(tmp_path, tavily=tavily, jina=jina) as running:
        yield running


def page(url: str) -> dict[str, Any]:
    """A page as Tavily gives it."""
    return {"url": url, "title": "A page", "raw_content": f"Tavily's text of {url}", "images": []}


def partly(read: list[str], failed: list[str]) -> Fault:
    """An answer of Tavily with some pages read and some not."""
    answer = {
        "results": [page(url) for url in read],
        "failed_results": [{"url": url, "error": "Failed to fetch url"} for url in failed],
        "response_time": 0.1,
        "request_id": "0b6a2f5e-0c64-4f0d-9a70-5b6f2f7a9f11",
    }
    return Fault.body(json.dumps(answer))


def urls(members: list[dict[str, Any]]) -> list[str]:
    """The URLs of results or failed results."""
    return [member["url"] for member in members]


async def test_tavily_reads_pages_in_one_call(
    amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator
):
    """Three pages are one call to Tavily, and the answer has the members its clients read."""
    response = await amos.extract([A, B, C])

    answer = response.json()
    assert response.status_code == 200
    assert urls(answer["results"]) == [A, B, C]
    assert all(result["raw_content"] for result in answer["results"])
    assert answer["failed_results"] == []
    assert answer["request_id"] == answer["amos"]["execution_id"]
    assert answer["response_time"] > 0
    assert answer["amos"]["provider"] == "tavily"
    assert [call.json["urls"] for call in tavily.calls] == [[A, B, C]]
    assert jina.count == 0


async def test_one_url_may_be_a_string(amos: GatewayServer, tavily: TavilySimulator):
    """`urls` may be one string, and the same page twice is read once."""
    single = (await amos.extract(A)).json()
    double = (await amos.extract([B, B])).json()

    assert urls(single["results"]) == [A]
    assert urls(double["results"]) == [B]
    assert [call.json["urls"] for call in tavily.calls] == [[A], [B]]


async def test_options_reach_tavily(amos: GatewayServer, tavily: TavilySimulator):
    """All options, known or not, go to Tavily as they are."""
    options = {
        "query": "high water",
        "chunks_per_source": 2,
        "extract_depth": "advanced",
        "format": "text",
        "include_images": True,
        "include_favicon": True,
        "timeout": 20,
        "brand_new": {"deep": 1},
    }
    answer = (await amos.extract([A], **options)).json()

    sent = tavily.calls[0].json
    assert {name: sent[name] for name in options} == options
    assert answer["results"][0]["favicon"]
    assert answer["results"][0]["images"]


async def test_only_the_failed_page_goes_to_jina(
    amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator
):
    """What Tavily could not read, and only that, is read by Jina; both are merged in the order asked for."""
    tavily.script(partly(read=[A, C], failed=[B]))

    answer = (await amos.extract([A, B, C])).json()

    assert urls(answer["results"]) == [A, B, C]
    assert answer["failed_results"] == []
    assert answer["results"][0]["raw_content"] == f"Tavily's text of {A}"
    assert [call.json["url"] for call in jina.calls] == [B]
    attempts = [(attempt["provider"], attempt["outcome"]) for attempt in answer["amos"]["attempts"]]
    assert attempts == [("tavily", "success"), ("jina", "success")]
    assert answer["amos"]["provider"] == "tavily+jina"


async def test_a_page_nobody_can_read_is_a_failed_result(
    amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator
):
    """One dead page costs the others nothing: it is listed with a reason."""
    answer = (await amos.extract([A, GONE])).json()

    assert urls(answer["results"]) == [A]
    assert urls(answer["failed_results"]) == [GONE]
    assert "404" in answer["failed_results"][0]["error"]
    assert (tavily.count, jina.count) == (1, 1)


async def test_only_dead_pages_are_still_an_answer(amos: GatewayServer):
    """When no page could be read the answer is 200 with all of them in `failed_results`, as at Tavily."""
    response = await amos.extract([GONE, f"{GONE}/too"])

    assert response.status_code == 200
    assert response.json()["results"] == []
    assert urls(response.json()["failed_results"]) == [GONE, f"{GONE}/too"]


async def test_pages_are_cached_one_by_one(amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator):
    """A page read before is not read again; of a mixed call only the new page is paid for."""
    first = (await amos.extract([A, B])).json()
    mixed = (await amos.extract([B, C])).json()
    cached = (await amos.extract([C, A])).json()

    assert [call.json["urls"] for call in tavily.calls] == [[A, B], [C]]
    assert [answer["amos"]["cache"] for answer in (first, mixed, cached)] == ["miss", "mixed", "l1"]
    assert urls(mixed["results"]) == [B, C]
    assert urls(cached["results"]) == [C, A]
    assert cached["results"][1] == first["results"][0]
    assert cached["amos"]["credits"] == 0
    assert jina.count == 0


async def test_options_make_it_another_page(amos: GatewayServer, tavily: TavilySimulator):
    """The same URL as text, or ranked for a query, is another page."""
    await amos.extract(A)
    await amos.extract(A, format="text")
    await amos.extract(A, query="high water")
    await amos.extract(A, format="markdown", extract_depth="basic")

    assert tavily.count == 3


async def test_failed_pages_are_not_cached(amos: GatewayServer, tavily: TavilySimulator):
    """A page that could not be read is tried again the next time."""
    await amos.extract([GONE])
    await amos.extract([GONE])

    assert tavily.count == 2


async def test_the_same_page_at_once_is_read_once(amos: GatewayServer, tavily: TavilySimulator):
    """Overlapping extracts under way share the pages they have in common."""
    tavily.delay_s = 0.3

    first, second = await asyncio.gather(amos.extract([A, B]), amos.extract([B, C]))

    asked = sorted(url for call in tavily.calls for url in call.json["urls"])
    assert asked == [A, B, C]
    assert urls(first.json()["results"]) == [A, B]
    assert urls(second.json()["results"]) == [B, C]


@pytest.mark.parametrize("fault", [Fault.status(500), Fault.status(432), Fault.reset(), Fault.body("{}")])
async def test_jina_reads_for_a_failing_tavily(
    amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator, fault: Fault
):
    """When Tavily fails as a whole, Jina reads every page, and both attempts are in the answer and in SQL."""
    tavily.always(fault)

    answer = (await amos.extract([A, B])).json()

    await amos.drain()
    attempts = amos.attempts(answer["amos"]["execution_id"])
    assert urls(answer["results"]) == [A, B]
    assert answer["amos"]["provider"] == "jina"
    assert sorted(call.json["url"] for call in jina.calls) == [A, B]
    assert {provider for provider, _ in attempts} == {"tavily", "jina"}
    assert attempts[-1] == ("jina", "")


async def test_nobody_to_read_is_a_failure(amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator):
    """With both providers down an extract is 503 in Tavily's envelope, with every reason."""
    tavily.always(Fault.status(500))
    jina.always(Fault.status(503))

    response = await amos.extract([A, B])

    sentence = response.json()["detail"]["error"]
    assert response.status_code == 503
    assert "tavily: http_500" in sentence
    assert "jina: http_503" in sentence
    assert int(response.headers["retry-after"]) >= 1


async def test_cached_pages_survive_the_providers(
    amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator
):
    """With both providers down, pages in the cache are still answered, and the others are failed results."""
    await amos.extract([A])
    tavily.always(Fault.status(500))
    jina.always(Fault.status(503))

    answer = (await amos.extract([A, B])).json()

    assert urls(answer["results"]) == [A]
    assert urls(answer["failed_results"]) == [B]


async def test_the_callers_patience_is_kept(
    amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator
):
    """An extract ends before the caller's own `timeout`, with Jina's pages if Tavily is silent."""
    tavily.always(Fault.hang())

    begun = time.monotonic()
    response = await amos.extract([A], timeout=3)
    elapsed_s = time.monotonic() - begun

    assert elapsed_s < 3
    assert response.status_code == 200
    assert response.json()["amos"]["provider"] == "jina"


async def test_silent_providers_end_in_time_too(
    amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator
):
    """When nobody answers at all the caller is told so before their own `timeout`."""
    tavily.always(Fault.hang())
    jina.always(Fault.hang())

    begun = time.monotonic()
    response = await amos.extract([A, B], timeout=2)

    assert time.monotonic() - begun < 2
    assert response.status_code in (503, 504)
    assert response.json()["detail"]["error"]


async def test_a_name_that_leads_into_a_private_network_is_asked_for_by_nobody(
    amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator, monkeypatch: pytest.MonkeyPatch
):
    """It is a failed page beside those that were read, and costs nothing."""
    resolve = socket.getaddrinfo

    def rebound(host: str, *arguments: Any, **options: Any) -> Any:
        if host.endswith(".rebound.example"):
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", 0))]
        return resolve(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    inside = "https://admin.rebound.example/"

    both = (await amos.extract([A, inside])).json()
    alone = await amos.extract(inside)

    assert urls(both["results"]) == [A]
    assert urls(both["failed_results"]) == [inside]
    assert "public internet" in both["failed_results"][0]["error"]
    assert alone.json()["results"] == []
    assert alone.json()["failed_results"] == both["failed_results"]
    assert [call.json["urls"] for call in tavily.calls] == [[A]]
    assert [(call.method, call.path, call.headers) for call in jina.calls] == []


async def test_a_page_is_harmless_when_it_leaves(amos: GatewayServer, tavily: TavilySimulator):
    """What acts or hides in a page is gone, also from the cache; the rest of it is there."""
    evil = {**page(A), "raw_content": "# Tides\n<script>steal()</script>> 3 < 4\u202e", "title": "<b>A</b>"}
    answer = {"results": [evil], "failed_results": [], "response_time": 0.1, "request_id": "r"}
    tavily.script(Fault.body(json.dumps(answer)))

    for cache in ("miss", "l1"):
        read = (await amos.extract(A)).json()

        assert read["amos"]["cache"] == cache
        assert read["results"][0]["raw_content"] == "# Tides\n> 3 < 4"
