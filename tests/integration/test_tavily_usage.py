"""`/usage`: what a client has used this month, in Tavily's shape, from the record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from orchestrator import usage as usage_module
from orchestrator.key_admin import KeyWish
from tests.support.gateway_server import GatewayServer, serving
from tests.support.jina_simulator import JinaSimulator
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SITE = "https://almanac.example"


async def key(amos: GatewayServer, client: str, *scopes: str) -> dict[str, str]:
    """The header of a new key."""
    assert amos.gateway.keys is not None
    wish = KeyWish(client=client, scopes=scopes or ("search", "extract"))
    made = await amos.gateway.keys.create(wish, by="test")
    return {"Authorization": f"Bearer {made.raw}"}


async def usage(amos: GatewayServer, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """The body of an answer."""
    answer = await amos.client.get("/usage", headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_what_a_client_has_used(tmp_path: Path, tavily: TavilySimulator):
    """Whatever it asked for with any of its keys, in credits; nothing of what others have used."""
    async with serving(tmp_path, tavily=tavily, client_budget_usd_per_month=4.0) as amos:
        await amos.drain()
        ann, other_of_ann, bob = await key(amos, "ann"), await key(amos, "ann"), await key(amos, "bob")
        await amos.search("tide tables", headers=ann, search_depth="advanced")
        await amos.search("tide tables", headers=ann, search_depth="advanced")  # from the cache: free
        await amos.extract([f"{SITE}/{n}" for n in range(5)], headers=other_of_ann)
        for path, body in (
            ("/map", {"url": SITE}),
            ("/crawl", {"url": SITE}),
            ("/research", {"input": "tides", "model": "mini"}),
        ):
            assert (await amos.client.post(path, json=body, headers=ann)).status_code == 200
        await amos.search("harbour", headers=bob)
        await amos.drain()
        of_ann, of_bob = await usage(amos, ann), await usage(amos, bob)
        same = await usage(amos, other_of_ann)

    spent = {"search_usage": 2, "extract_usage": 1, "crawl_usage": 5, "map_usage": 2, "research_usage": 110}
    assert of_ann["key"] == {"usage": 120, "limit": 500, **spent}
    plan = {"current_plan": "AMOS", "plan_usage": 120, "plan_limit": 500}
    assert of_ann["account"] == {**plan, "paygo_usage": 0, "paygo_limit": None, **spent}
    assert (of_bob["key"]["usage"], of_bob["key"]["search_usage"]) == (1, 1)
    assert same == of_ann
    assert of_ann["amos"]["client"] == "ann"
    assert of_ann["amos"]["spent_usd"] == 0.96
    assert of_ann["amos"]["limit_usd_per_month"] == 4.0


async def test_what_jina_has_cost_counts_by_its_price(
    tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator
):
    """Tokens are no credits: their price is held against that of one."""
    tavily.always(Fault.status(500))
    async with serving(tmp_path, tavily=tavily, jina=jina, jina_usd_per_million_tokens=8.0) as amos:
        await amos.search("tide tables")
        await amos.drain()
        spent_usd = (await amos.client.get("/reports/cost")).json()["spent_usd_micros"] / 1e6
        found = await usage(amos)

    assert spent_usd > 0.008
    assert found["key"]["search_usage"] == found["key"]["usage"] == round(spent_usd / 0.008)


async def test_the_local_operator_and_a_gateway_that_did_nothing_yet(tmp_path: Path, tavily: TavilySimulator):
    """Nothing is used and nothing limited, also before there is any record."""
    async with serving(tmp_path, tavily=tavily) as amos:
        before = await usage(amos)
        await amos.drain()
        after = await usage(amos)

    for found in (before, after):
        assert (found["key"]["usage"], found["key"]["limit"], found["account"]["plan_limit"]) == (
            0,
            None,
            None,
        )
        assert found["amos"]["client"] == "local"


async def test_the_record_is_read_once_for_all_who_ask(
    tmp_path: Path, tavily: TavilySimulator, monkeypatch: pytest.MonkeyPatch
):
    """For some seconds everybody is told the same; then it is read again."""
    async with serving(tmp_path, tavily=tavily) as amos:
        await amos.drain()
        first = await usage(amos)
        await amos.search("tide tables")
        await amos.drain()
        soon = await usage(amos)
        monkeypatch.setattr(usage_module, "FRESH_S", 0.0)
        later = await usage(amos)

    assert soon == first
    assert later["key"]["usage"] == 1


async def test_who_may_not_ask_is_told_in_tavilys_envelope(tmp_path: Path, tavily: TavilySimulator):
    """A wrong key is 401; any scope will do; who asks too often is 429 as with a search."""
    async with serving(tmp_path, tavily=tavily, rate_burst=2, rate_per_minute=2) as amos:
        await amos.drain()
        narrow = await key(amos, "ann", "search")
        answers = [await amos.client.get("/usage", headers=narrow) for _ in range(3)]
        wrong = await amos.client.get("/usage", headers={"Authorization": "Bearer tvly-x"})
        posted = await amos.client.post("/usage", headers=narrow)

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["RateLimit"].startswith('"burst";r=1')
    assert answers[0].headers["Cache-Control"] == "no-store"
    assert int(answers[2].headers["Retry-After"]) > 0
    assert [wrong.status_code, posted.status_code] == [401, 405]
    assert all(isinstance(sentence(one), str) for one in (answers[2], wrong, posted))


def sentence(refusal: httpx.Response) -> Any:
    """What a client of Tavily shows."""
    return refusal.json()["detail"]["error"]


async def test_a_database_that_is_away_is_503(tmp_path: Path, tavily: TavilySimulator):
    """The figures cannot be had, and nobody waits for them."""
    async with serving(tmp_path, tavily=tavily) as amos:
        await amos.drain()
        # The pages may still be in the write-ahead log, if somebody was reading when the recorder left.
        for path in (tmp_path / "amos.db", tmp_path / "amos.db-wal"):
            if path.exists():
                path.write_bytes(b"no database" * 1000)
        answer = await amos.client.get("/usage")

    assert answer.status_code == 503
    assert isinstance(sentence(answer), str)
