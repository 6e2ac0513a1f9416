"""Several keys for one provider, through the whole gateway: drained in order, known by their numbers."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.support.gateway_server import GatewayServer, serving
from tests.support.jina_simulator import JinaSimulator
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

KEYS = ("tvly-one", "tvly-two", "tvly-three")


@pytest.fixture
async def tavily():
    """Tavily, simulated, which knows three keys of ours."""
    async with TavilySimulator() as running:
        running.keys = set(KEYS)
        running.api_key = ",".join(KEYS)
        yield running


@pytest.fixture
async def jina():
    """Jina, simulated, with two keys of ours."""
    async with JinaSimulator(balance=10**9) as running:
        running.keys = {"jina_one", "jina_two"}
        running.api_key = "jina_one, jina_two"
        yield running


async def providers_of(amos: GatewayServer, queries: Sequence[str]) -> list[str]:
    """Who answered each of the queries, asked at once."""
    answers = await asyncio.gather(*(amos.search(query) for query in queries))
    return [answer.json()["amos"]["provider"] for answer in answers]


async def rested(amos: GatewayServer, provider: str) -> list[tuple[int, str]]:
    """Number and reason of every key that was recorded as resting."""
    await amos.drain()
    return [(event["key_number"], event["reason"]) for event in amos.events(f"provider:{provider}")]


async def test_plans_are_used_up_one_after_the_other(
    tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator
) -> None:
    """Each key is drained to its last credit in turn; then the next provider is asked. No credit is lost."""
    tavily.key_limits = {"tvly-one": 3, "tvly-two": 2, "tvly-three": 4}
    async with serving(tmp_path, tavily=tavily, jina=jina) as amos:
        asked = [(await providers_of(amos, [f"question {n}"]))[0] for n in range(12)]

        assert asked == ["tavily"] * 9 + ["jina"] * 3
        assert tavily.key_credits == tavily.key_limits
        assert await rested(amos, "tavily") == [(1, "quota"), (2, "quota"), (3, "quota")]
        circuit = [event["type"] for event in amos.events("circuit:tavily")]
        assert circuit == ["amos.circuit.opened.v1"], "once, when no key was left"


async def test_a_refusal_of_a_key_is_no_attempt(
    tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator
) -> None:
    """The call that finds a key drained is one attempt with one answer, for the price of one."""
    tavily.for_key("tvly-one", Fault.status(432))
    tavily.for_key("tvly-two", Fault.status(401))
    async with serving(tmp_path, tavily=tavily, jina=jina) as amos:
        answer = (await amos.search("tides")).json()

        attempts = [(one["provider"], one["outcome"]) for one in answer["amos"]["attempts"]]
        assert attempts == [("tavily", "success")]
        assert await rested(amos, "tavily") == [(1, "quota"), (2, "key_refused")]
        assert tavily.count == 3


async def test_a_crowd_finds_out_together(
    tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator
) -> None:
    """Calls under way with the key that is just drained go on with the next; the fact is recorded once."""
    tavily.key_limits = {"tvly-one": 10}
    tavily.delay_s = 0.05
    async with serving(tmp_path, tavily=tavily, jina=jina) as amos:
        asked = await providers_of(amos, [f"question {n}" for n in range(40)])

        assert asked == ["tavily"] * 40
        assert tavily.key_credits == {"tvly-one": 10, "tvly-two": 30}
        assert await rested(amos, "tavily") == [(1, "quota")]


async def test_a_throttled_key_rests_as_long_as_it_is_told(
    tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator
) -> None:
    """`Retry-After` is the key's own rest, and the provider goes on with another."""
    tavily.for_key("tvly-one", Fault.status(429, retry_after=77))
    async with serving(tmp_path, tavily=tavily, jina=jina) as amos:
        assert await providers_of(amos, ["tides"]) == ["tavily"]

        await amos.drain()
        (event,) = amos.events("provider:tavily")
        assert (event["reason"], event["rest_s"]) == ("throttled", 77.0)


async def test_pages_change_keys_in_the_middle_of_an_extract(tmp_path: Path, jina: JinaSimulator) -> None:
    """Of an extract with many pages those that a drained key did not read are read with the next."""
    jina.for_key("jina_one", Fault.status(402))
    async with serving(tmp_path, jina=jina) as amos:
        urls = [f"https://almanac.example/{n}" for n in range(12)]
        answer = (await amos.client.post("/extract", json={"urls": urls})).json()

        assert [page["url"] for page in answer["results"]] == urls
        keys = Counter(call.headers["authorization"].removeprefix("Bearer ") for call in jina.calls)
        assert keys["jina_two"] == 12
        assert keys["jina_one"] <= 8, "one round of reads, no more"
        assert await rested(amos, "jina") == [(1, "quota")]


async def test_no_answer_and_no_record_names_a_key(
    tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator
) -> None:
    """When every key of every provider is refused, the caller hears of quotas and of no key."""
    for key in KEYS:
        tavily.for_key(key, Fault.status(432))
    for key in ("jina_one", "jina_two"):
        jina.for_key(key, Fault.status(402))
    async with serving(tmp_path, tavily=tavily, jina=jina) as amos:
        answer = await amos.search("tides")
        await amos.drain()

        assert answer.status_code == 432
        told = answer.text + str(amos.frames())
        assert [key for key in (*KEYS, "jina_one", "jina_two") if key in told] == []
