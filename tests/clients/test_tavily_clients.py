"""Clients of Tavily work against AMOS unchanged: only their base address is told. All see the same things."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from orchestrator.key_admin import KeyWish
from tests.clients.conftest import DEADLINE_S, GRACE_S, StartClient
from tests.support.foreign import ClientError
from tests.support.foreign_tavily import KINDS, OPTIONS, Kind, TavilyUser
from tests.support.gateway_server import serving
from tests.support.jina_simulator import JinaSimulator
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator

pytestmark = [pytest.mark.clients, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]

PAGE = "https://almanac.example/tides"
DEAD_PAGE = "https://almanac.example/gone"


READERS = [kind for kind in KINDS if kind.extract is not None]
IMPATIENT = [kind for kind in KINDS if kind.impatient]


def only(kinds: list[Kind]) -> pytest.MarkDecorator:
    """For a test of some of the clients."""
    return pytest.mark.parametrize("kind", kinds, indirect=True, ids=[kind.name for kind in kinds])


@pytest_asyncio.fixture(loop_scope="session")
async def busy(
    kind: Kind, start_client: StartClient, tmp_path: Path, tavily: TavilySimulator
) -> AsyncIterator[TavilyUser]:
    """The client, pointed at a gateway that lets each caller call once a minute, and only with a key."""
    async with serving(
        tmp_path / "var", tavily=tavily, grace_s=GRACE_S, rate_burst=1, rate_per_minute=1
    ) as running:
        await running.drain()  # which migrates the database
        assert running.gateway.keys is not None
        made = await running.gateway.keys.create(KeyWish(client="acme"), by="test")
        one = TavilyUser(kind, await start_client(*kind.command), running.base_url)
        one.key = made.raw
        yield one


def check_search(kind: Kind, answer: Any, count: int) -> None:
    """What users read of a search, by whatever name."""
    assert len(answer["results"]) == count
    for result in answer["results"]:
        texts = [result[name] for name in ("title", "url", kind.content)]
        assert all(isinstance(text, str) and text for text in texts)
        assert isinstance(result["score"], float | int)  # JavaScript writes 1.0 as 1


# --- answers ------------------------------------------------------------------------------------------------


async def test_search(user: TavilyUser, tavily: TavilySimulator):
    """A search with nothing but a query gives what the client's users read, paid for with our key."""
    answer = await user.search("tide tables")

    check_search(user.kind, answer, 5)
    assert tavily.calls[0].json["query"] == "tide tables"
    assert tavily.calls[0].headers["authorization"] == f"Bearer {tavily.api_key}"


async def test_jinas_answer_reads_the_same(user: TavilyUser, tavily: TavilySimulator, jina: JinaSimulator):
    """An answer of the fallback passes for one of Tavily."""
    tavily.always(Fault.status(500))

    check_search(user.kind, await user.search("tide tables"), 5)
    assert jina.count == 1


async def test_nothing_found(user: TavilyUser, tavily: TavilySimulator, jina: JinaSimulator):
    """Nothing found is no error: an empty list, or the client's own words for it."""
    tavily.always(Fault.empty())
    jina.always(Fault.empty())

    answer = await user.search("tide tables")

    if user.kind.nothing_found:
        assert answer.startswith(user.kind.nothing_found)
    else:
        assert answer["results"] == []


async def test_every_option_reaches_tavily(user: TavilyUser, tavily: TavilySimulator):
    """All options at once, each given the client's own way, arrive at Tavily unchanged."""
    answer = await user.ask(user.kind.search_with("tide tables", OPTIONS))

    assert tavily.calls[0].json == {"query": "tide tables", **OPTIONS}
    check_search(user.kind, answer, 6)  # what is from none of the domains is left out


@only(READERS)
async def test_extract_with_a_dead_page(user: TavilyUser, tavily: TavilySimulator):
    """The page that can be read is there beside the failure of the other."""
    answer = await user.extract([PAGE, DEAD_PAGE])

    assert tavily.calls[0].json["urls"] == [PAGE, DEAD_PAGE]
    if isinstance(answer, str):  # an agent of Agno is told of what was read only
        assert answer.startswith(f"## {PAGE}\n")
        return
    failures = answer.get("failed_results", answer.get("failedResults"))
    assert [result["url"] for result in answer["results"]] == [PAGE]
    assert [failure["url"] for failure in failures] == [DEAD_PAGE]


@only(READERS)
async def test_jinas_page_reads_the_same(user: TavilyUser, tavily: TavilySimulator, jina: JinaSimulator):
    """A page that only the fallback can read looks as if Tavily had read it."""
    tavily.always(Fault.status(500))

    answer = await user.extract([PAGE])

    assert PAGE in (answer if isinstance(answer, str) else answer["results"][0]["url"])
    assert jina.count == 1


@pytest.mark.parametrize("path", ["/", "/t", "/t/"])
async def test_any_form_of_the_base_address(user: TavilyUser, path: str):
    """A base with a slash at its end, with our prefix, or both, is served without a redirect."""
    check_search(user.kind, await user.search("tide tables", path), 5)
    if user.kind.extract is not None:
        assert await user.extract([PAGE], path)


# --- refusals -----------------------------------------------------------------------------------------------


async def check_refusal(user: TavilyUser, status: int, sentence: str, query: str = "tide tables") -> None:
    """The user sees the status as this client shows it, and our sentence wherever it shows one."""
    with pytest.raises(ClientError, match=user.kind.refusal(status, sentence)):
        await user.search(query)


async def test_a_bad_request(user: TavilyUser, tavily: TavilySimulator):
    """400 says which field is wrong; no provider is asked."""
    await check_refusal(user, 400, "query: Query is too short", query="x")

    assert tavily.count == 0


async def test_a_wrong_key(busy: TavilyUser):
    """401 is about the caller's key."""
    busy.key = "tvly-mine"

    await check_refusal(busy, 401, "This is not an API key of AMOS")


async def test_too_many_requests(busy: TavilyUser):
    """429 is about the caller's limit, and tells how long to wait."""
    check_search(busy.kind, await busy.search("tide tables"), 5)

    await check_refusal(busy, 429, "Too many requests: 1 per 60 seconds are allowed. Retry after")


@pytest.mark.parametrize("status", [432, 433])
async def test_all_quotas_gone(user: TavilyUser, tavily: TavilySimulator, jina: JinaSimulator, status: int):
    """432, whichever of its two Tavily used, tells which providers have none left."""
    tavily.always(Fault.status(status))
    jina.always(Fault.status(402))

    await check_refusal(user, 432, ".*tavily: quota; jina: quota")


async def test_everybody_down(user: TavilyUser, tavily: TavilySimulator, jina: JinaSimulator):
    """503 when every provider fails."""
    tavily.always(Fault.status(500))
    jina.always(Fault.status(500))

    await check_refusal(user, 503, "No search provider could answer")


async def test_nobody_answers(user: TavilyUser, tavily: TavilySimulator, jina: JinaSimulator):
    """503 as well, in the time the gateway has and not in the client's, which may be none at all."""
    tavily.always(Fault.hang())
    jina.always(Fault.hang())

    async with asyncio.timeout(5 * DEADLINE_S):
        await check_refusal(user, 503, ".*tavily: timeout; jina: timeout")


@only(IMPATIENT)
async def test_an_impatient_caller(user: TavilyUser, tavily: TavilySimulator, jina: JinaSimulator):
    """The client's own timeout is its own error; the gateway is unharmed."""
    tavily.delay_s = jina.delay_s = 0.8

    with pytest.raises(ClientError, match=r"(?i)timed? ?out"):
        await user.search("tide tables", **user.kind.impatient)

    tavily.recover()
    check_search(user.kind, await user.search("harbour opening hours"), 5)
