"""Hundreds of answers of every tool are what its schema promises, and nothing that it does not describe."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from typing import Any

import httpx
import jsonschema
import pytest

from api.mcp_tools import TOOLS
from tests.support import mcp_wire
from tests.support.gateway_server import GatewayServer, serving
from tests.support.jina_simulator import JinaSimulator
from tests.support.mcp_wire import LEGACY, MODERN
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator

SEED = 20_261_130
CALLS = 200
AT_ONCE = 16

BROKEN, NOBODY = "broken", "nobody"
"""In a query: Tavily's answer is useless; nobody's is any good."""

WORDS = ("tides", "harbour", "museum", "almanac", "ferry", "lighthouse", "moon", "pilot")


def closed(schema: Any) -> Any:
    """The schema without room for members that it does not describe."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    shut = {name: closed(value) for name, value in schema.items()}
    return shut | {"additionalProperties": False} if isinstance(schema.get("properties"), dict) else shut


def value_for(schema: dict[str, Any], chance: random.Random) -> Any:
    """Something that the schema of an argument allows."""
    if "enum" in schema:
        return chance.choice(schema["enum"])
    match schema["type"]:
        case "boolean":
            return chance.random() < 0.7
        case "integer":
            return chance.randint(schema["minimum"], schema["maximum"])
        case "array":
            return chance.sample(["noaa.gov", "almanac.example", "journal.example"], chance.randint(0, 2))
        case _:
            return (
                "2026-01-0" + str(chance.randint(1, 9))
                if "pattern" in schema
                else chance.choice(["France", "de"])
            )


def arguments_for(tool: str, chance: random.Random) -> dict[str, Any]:
    """Arguments that a model might send, some of them for nothing."""
    query = " ".join(chance.sample(WORDS, 2)) + f" {chance.randint(1, 9)}"
    fate = chance.random()
    query += f" {BROKEN}" if fate < 0.1 else f" {NOBODY}" if fate < 0.15 else ""
    if tool == "fetch":
        return {"id": f"https://{chance.choice(['almanac', 'gone'])}.example/{chance.randint(1, 30)}"}
    schema = TOOLS[tool].arguments
    optional = [name for name in schema["properties"] if name not in ("query", "urls")]
    chosen = chance.sample(optional, min(len(optional), chance.randint(0, 5)))
    arguments = {name: value_for(schema["properties"][name], chance) for name in chosen}
    if tool.endswith("extract"):
        urls = [f"https://almanac.example/{chance.randint(1, 99)}" for _ in range(chance.randint(1, 4))]
        return arguments | {"urls": urls} | ({"query": query} if chance.random() < 0.5 else {})
    return arguments | {"query": query}


async def used(amos: GatewayServer, tool: str, arguments: dict[str, Any], version: str) -> dict[str, Any]:
    """The result of a call, over HTTP as it is on the wire."""
    headers, body = mcp_wire.call(version, tool, arguments)
    answer: httpx.Response = await amos.client.post("/mcp", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()["result"]
    return result


def assert_fits(tool: str, result: dict[str, Any]) -> None:
    """It is what the tool's schema says, whole, and there as text as well."""
    jsonschema.validate(result["structuredContent"], TOOLS[tool].answer)
    jsonschema.validate(result["structuredContent"], closed(TOOLS[tool].answer))
    (text,) = result["content"]
    if tool.startswith("tavily_"):
        assert text["text"].partition("Detailed Results:")[1]
    else:
        assert json.loads(text["text"]) == result["structuredContent"]


def assert_explains(result: dict[str, Any]) -> None:
    """A failure has a text for the model and no content that a schema would be about."""
    assert "structuredContent" not in result
    (text,) = result["content"]
    assert text["text"].endswith(".")


@pytest.mark.timeout(120)
async def test_every_answer_fits_its_schema(tmp_path, tavily: TavilySimulator, jina: JinaSimulator):
    """Whatever is asked and whoever answers, in both eras: what is promised is there, and described."""
    chance = random.Random(SEED)
    for simulator, words in ((tavily, (BROKEN, NOBODY)), (jina, (NOBODY,))):
        for word in words:
            simulator.when(word, Fault.body("{}"))
    names = list(TOOLS)
    calls = [(tool := chance.choice(names), arguments_for(tool, chance)) for _ in range(CALLS)]
    room = asyncio.Semaphore(AT_ONCE)
    counts: Counter[str] = Counter()

    async def check(number: int, tool: str, arguments: dict[str, Any]) -> None:
        async with room:
            result = await used(amos, tool, arguments, (LEGACY, MODERN)[number % 2])
        if result.get("isError"):
            counts["failed"] += 1
            assert_explains(result)
        else:
            why = result["structuredContent"].get("amos") or result["_meta"]["amos"]
            counts.update((tool, why["provider"], why["cache"]))
            assert_fits(tool, result)

    async with serving(tmp_path, tavily=tavily, jina=jina, circuit_failures=1_000, rate_burst=CALLS) as amos:
        await asyncio.gather(*(check(number, *call) for number, call in enumerate(calls)))

    assert all(counts[name] >= 20 for name in TOOLS), counts
    assert all(counts[kind] >= 5 for kind in ("tavily", "jina", "l1", "failed")), counts
