"""Search over past executions, on the running gateway with either database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.api_keys import SCOPES
from orchestrator.key_admin import KeyWish
from tests.support.faults import Fault
from tests.support.gateway_server import GatewayServer, serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.jina_simulator import JinaSimulator
    from tests.support.tavily_simulator import TavilySimulator


async def key_of(amos: GatewayServer, client: str, *scopes: str) -> dict[str, str]:
    """The header that shows a new key of the client."""
    assert amos.gateway.keys is not None
    made = await amos.gateway.keys.create(KeyWish(client=client, scopes=scopes or ("search",)), by="test")
    return {"Authorization": f"Bearer {made.raw}"}


async def found(amos: GatewayServer, headers: dict[str, str], **parameters: object) -> dict[str, Any]:
    """A page."""
    answer = await amos.client.get("/executions", params=parameters, headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


@pytest.fixture
def settings(database_url: str) -> dict[str, Any]:
    """The settings of a gateway on that database."""
    return {
        "database_url": database_url,
        "key_pepper": "p" * 32,
        "rate_burst": 1_000,
        "rate_per_minute": 9_999,
    }


async def test_calls_are_found_by_what_became_of_them(
    tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator, settings: dict[str, Any]
):
    """A miss in two frames, its hit, a fallback, a page and a refusal: found once, by its own."""
    async with serving(tmp_path, tavily=tavily, jina=jina, anonymous_per_minute=5, **settings) as amos:
        await amos.drain()
        team, boss = await key_of(amos, "team", "search", "extract"), await key_of(amos, "boss", *SCOPES)
        await amos.search("Tide tables", team)
        await amos.search("tide TABLES", team)
        await amos.extract("https://almanac.example/tides/how", team)
        await amos.search("x", team)
        await amos.search("somebody else's secret")
        tavily.always(Fault.status(500))
        await amos.search("moon phases", boss)
        await amos.drain()

        mine = (await found(amos, team))["executions"]
        assert [(one["operation"], one["cache"], one["error"], one["text"]) for one in mine] == [
            ("search", "", "invalid_request", None),
            ("extract", "miss", "", "https://almanac.example/tides/how"),
            ("search", "l1", "", "Tide tables"),
            ("search", "miss", "", "Tide tables"),
        ]
        for one in mine:
            account = (await amos.client.get(f"/executions/{one['execution_id']}", headers=team)).json()
            assert account["explanation"]["duration_s"] == one["duration_s"]
        everybody = await found(amos, boss)
        clients = [one["client"] for one in everybody["executions"]]
        assert clients == ["boss", "anonymous", "team", "team", "team", "team"]
        assert everybody["next"] is None
        assert (await found(amos, team, client="boss"))["executions"] == []
        (fallback,) = (await found(amos, boss, provider="jina", text="moon"))["executions"]
        assert (fallback["text"], fallback["client"]) == ("moon phases", "boss")
        stranger = await amos.client.get("/executions")
        assert (stranger.status_code, "secret" in stranger.text) == (401, False)


async def test_everything_is_told_once_while_more_is_recorded(
    tmp_path: Path, tavily: TavilySimulator, settings: dict[str, Any]
):
    """Turning all pages while calls go on gives each call of before once, and none twice."""
    async with serving(tmp_path, tavily=tavily, **settings) as amos:
        ids = [(await amos.search(f"tides of day {n % 4}")).json()["request_id"] for n in range(12)]
        await amos.drain()
        page = await found(amos, {}, limit=5)
        seen = [one["execution_id"] for one in page["executions"]]
        while page["next"] is not None:
            await asyncio.gather(*(amos.search(f"tides of day {n}") for n in range(6)))
            await amos.drain()
            page = await found(amos, {}, limit=5, before=page["next"])
            seen += [one["execution_id"] for one in page["executions"]]

    assert seen == ids[::-1]
