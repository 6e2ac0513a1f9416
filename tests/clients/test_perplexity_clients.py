"""LiteLLM searches through Perplexity's wire as well, at every address that AMOS speaks it."""

from __future__ import annotations

import pytest
import pytest_asyncio

from tests.clients.conftest import StartClient
from tests.support.foreign import ClientError, ForeignClient, require_client_packages
from tests.support.foreign_tavily import LITELLM_CLASSES, litellm_command
from tests.support.gateway_server import GatewayServer
from tests.support.jina_simulator import JinaSimulator
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator

pytestmark = [pytest.mark.clients, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]

CALLS = ["search", "asearch"]


class PerplexityUser:
    """LiteLLM, told to speak to Perplexity, pointed at one base address."""

    def __init__(self, client: ForeignClient, call: str, base: str) -> None:
        self._client = client
        self._call = call
        self._base = base

    async def search(self, query: str | list[str], path: str = "/perplexity", **options: object) -> dict:
        """What LiteLLM returns."""
        where = {"provider": "perplexity", "base": self._base + path, "key": "pplx-mine"}
        return await self._client.ask(self._call, **where, query=query, **options)


@pytest_asyncio.fixture(params=CALLS, loop_scope="session")
async def user(
    request: pytest.FixtureRequest, start_client: StartClient, amos: GatewayServer
) -> PerplexityUser:
    """LiteLLM, sync and async."""
    require_client_packages()
    return PerplexityUser(await start_client(*litellm_command()), request.param, amos.base_url)


def check_search(answer: dict, count: int) -> None:
    """What users read of a search."""
    assert answer["object"] == "search"
    assert len(answer["results"]) == count
    for result in answer["results"]:
        assert all(isinstance(result[name], str) and result[name] for name in ("title", "url", "snippet"))


@pytest.mark.parametrize("path", ["/perplexity", "/perplexity/", "/v1", "/v1/", "/t/perplexity", "/t/v1"])
async def test_any_form_of_the_base_address(user: PerplexityUser, path: str):
    """Perplexity's own address and that of a LiteLLM proxy, with a slash at its end, with our prefix."""
    check_search(await user.search("tide tables", path), 10)


async def test_the_options(user: PerplexityUser, tavily: TavilySimulator):
    """Perplexity's options are asked of Tavily in its own words."""
    options = {"max_results": 3, "search_domain_filter": ["almanac.example"], "country": "DE"}

    answer = await user.search("tide tables", **options)

    assert answer["results"]
    sent = tavily.calls[0].json
    assert (sent["max_results"], sent["include_domains"], sent["country"]) == (
        3,
        ["almanac.example"],
        "germany",
    )


async def test_several_queries(user: PerplexityUser, tavily: TavilySimulator):
    """A list of queries is asked one by one and answered as one."""
    answer = await user.search(["tide tables", "harbour opening hours"], max_results=2)

    assert {call.json["query"] for call in tavily.calls} == {"tide tables", "harbour opening hours"}
    assert answer["results"]


async def test_jinas_answer_reads_the_same(user: PerplexityUser, tavily: TavilySimulator):
    """An answer of the fallback passes for any other."""
    tavily.always(Fault.status(500))

    answer = await user.search("tide tables", max_results=5)

    check_search(answer, 5)


async def test_nothing_found(user: PerplexityUser, tavily: TavilySimulator, jina: JinaSimulator):
    """Nothing found is an empty list, no error."""
    tavily.always(Fault.empty())
    jina.always(Fault.empty())

    check_search(await user.search("tide tables"), 0)


async def test_refusals(user: PerplexityUser, tavily: TavilySimulator, jina: JinaSimulator):
    """What is wrong with the request, and that nobody could answer, are the errors LiteLLM has for it."""
    tavily.always(Fault.status(500))
    jina.always(Fault.status(500))

    with pytest.raises(ClientError, match=f"{LITELLM_CLASSES[400]}: .*Query is too short"):
        await user.search("x")
    with pytest.raises(ClientError, match=f"{LITELLM_CLASSES[503]}: .*No search provider could answer"):
        await user.search("tide tables")
