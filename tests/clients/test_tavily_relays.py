"""Maps, crawls and researches of Tavily's clients are passed on to Tavily and come back as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import GRACE_S, StartClient
from tests.support.foreign import ClientError
from tests.support.foreign_tavily import KINDS, Kind, TavilyUser
from tests.support.gateway_server import serving
from tests.support.jina_simulator import JinaSimulator
from tests.support.tavily_simulator import TavilySimulator

pytestmark = [
    *(pytest.mark.clients, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)),
    pytest.mark.parametrize(
        "kind", [kind for kind in KINDS if kind.relay], indirect=True, ids=lambda k: k.name
    ),
]

SITE = "https://almanac.example"


async def relayed(user: TavilyUser, operation: str, subject: str) -> Any:
    """What the client makes of it."""
    assert user.kind.relay is not None
    return await user.ask(user.kind.relay(operation, subject))


async def test_a_map(user: TavilyUser, tavily: TavilySimulator):
    """The addresses of a site's pages."""
    answer = await relayed(user, "map", SITE)

    assert tavily.calls[0].json["url"] == SITE
    assert answer["results"]
    assert all(url.startswith(SITE) for url in answer["results"])


async def test_a_crawl(user: TavilyUser, tavily: TavilySimulator):
    """The texts of a site's pages."""
    answer = await relayed(user, "crawl", SITE)

    assert tavily.calls[0].json["url"] == SITE
    pages = [(page["url"], page.get("raw_content", page.get("rawContent"))) for page in answer["results"]]
    assert pages
    assert all(url.startswith(SITE) and text for url, text in pages)


async def test_a_research(user: TavilyUser):
    """It is begun, is under way when it is asked for, and then has its report."""
    begun = await relayed(user, "research", "How are tides foretold?")
    task = begun.get("request_id", begun.get("requestId"))
    looks = [await relayed(user, "getResearch", task) for _ in range(2)]

    assert begun["status"] == "pending"
    assert [look["status"] for look in looks] == ["in_progress", "completed"]
    assert looks[1]["content"].startswith("# Report")


async def test_a_research_that_is_told_as_it_is_made(user: TavilyUser):
    """The client hands Tavily's events on to its user, to the last."""
    assert user.kind.stream is not None

    told = await user.ask(user.kind.stream("How are tides foretold?"))

    assert told.count("data: {") == 3
    assert told.endswith("event: done\n\n")


async def test_without_tavily(kind: Kind, start_client: StartClient, jina: JinaSimulator, tmp_path: Path):
    """Where Tavily is not configured nobody can do it, and that is what the user is told."""
    async with serving(tmp_path / "var", jina=jina, grace_s=GRACE_S) as amos:
        user = TavilyUser(kind, await start_client(*kind.command), amos.base_url)

        with pytest.raises(ClientError, match=kind.refusal(501, ".*Tavily, which is not configured here")):
            await relayed(user, "map", SITE)
