"""What @tavily/core alone can do, and what its user gets of it."""

from __future__ import annotations

import json

import pytest

from tests.support.foreign_tavily import KINDS, TavilyUser
from tests.support.tavily_simulator import TavilySimulator

pytestmark = [
    *(pytest.mark.clients, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)),
    pytest.mark.parametrize(
        "kind", [kind for kind in KINDS if kind.needs == "npm"], indirect=True, ids=["js"]
    ),
]


async def test_a_question(user: TavilyUser, tavily: TavilySimulator):
    """The method searchQNA returns Tavily's answer, and nothing else."""
    answer = await user.ask(("searchQNA", {"subject": "tide tables", "options": {}}))

    assert "tide tables" in answer
    assert tavily.calls[0].json["include_answer"] is True


async def test_a_context(user: TavilyUser):
    """The method searchContext returns as many texts, with their addresses, as its user has tokens for."""
    answer = await user.ask(("searchContext", {"subject": "tide tables", "options": {"maxTokens": 100}}))

    sources = json.loads(json.loads(answer))
    assert 0 < len(sources) < 5
    assert all(source["url"] for source in sources)


async def test_images_and_usage(user: TavilyUser):
    """What it renames on the way arrives under the names of JavaScript."""
    options = {"includeImages": True, "includeImageDescriptions": True, "includeUsage": True}
    answer = await user.ask(("search", {"subject": "tide tables", "options": options}))

    assert all(image["url"] and image["description"] for image in answer["images"])
    assert answer["usage"] == {"credits": 1}
    assert isinstance(answer["responseTime"], float | int)
    assert isinstance(answer["requestId"], str)


async def test_without_a_key(user: TavilyUser, tavily: TavilySimulator):
    """The local operator needs none."""
    user.key = ""

    assert len((await user.search("tide tables"))["results"]) == 5
    assert tavily.calls[0].headers["authorization"] == f"Bearer {tavily.api_key}"
