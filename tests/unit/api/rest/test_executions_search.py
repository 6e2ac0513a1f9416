"""`/executions?…`: what may be asked, by whom, and how pages follow each other."""

from __future__ import annotations

import asyncio
import csv
import io
from typing import TYPE_CHECKING

import httpx
import pytest

import orchestrator.gateway
from api.rest.executions_search import PARAMETERS, question
from orchestrator.errors import InvalidRequest
from tests.support.keys import Keys
from tests.support.memory_gateway import served

if TYPE_CHECKING:
    from orchestrator.executions import ExecutionQuery, FoundExecutions
    from tests.support.memory_gateway import MemoryGateway

NOW = 1_795_000_000.0

REFUSED = {
    "since": ("never", "-5", "NaN", "9999-99-99"),
    "until": ("tomorrow", "1e9", "9999-12-31T23:00:00-12:00"),
    "client": ("x" * 257, "a\0b", "a\nb", "\ud800"),
    "operation": ("\x1b[2J",),
    "door": ("\u202e",),
    "provider": ("x" * 3_000,),
    "cache": ("\x00",),
    "outcome": ("lost", "answered' OR 1=1"),
    "error": ("a\tb",),
    "text": ("a\nb", "x" * 257),
    "min_duration": ("-1", "NaN", "inf", "1e5", "1e999", "0x1", "٣", "2s", "86401"),
    "before": ("-1", "1.5", "next", "1" * 19, "٣", "1; DROP TABLE frames"),
    "limit": ("0", "-1", "201", "1" * 20, "1e1", "٣", "all"),
    "format": ("xml",),
}


async def answered(client: httpx.AsyncClient, *queries: str) -> None:
    """Search."""
    for query in queries:
        assert (await client.post("/search", json={"query": query})).status_code == 200


def test_every_parameter_reaches_the_query():
    """What is asked is what is looked for; without parameters it is all of the last day."""
    given = {
        name: f"a {name}" for name in ("client", "operation", "door", "provider", "cache", "error", "text")
    }
    others = {
        "since": "1h",
        "until": "30m",
        "outcome": "failed",
        "before": "7",
        "limit": "3",
        "format": "csv",
    }
    query = question({**given, **others, "min_duration": "0.25"}.items(), NOW)

    assert {name: getattr(query, name) for name in given} == given
    assert (query.since, query.until, query.outcome) == (NOW - 3_600, NOW - 1_800, "failed")
    assert (query.before, query.limit, query.duration_s_min) == (7, 3, 0.25)
    plain = question([], NOW)
    assert (plain.since, plain.until, plain.limit, plain.client) == (NOW - 86_400, NOW, 50, None)


@pytest.mark.parametrize("name", PARAMETERS)
def test_each_refusal_names_its_parameter(name: str):
    """A wrong value, one given twice and an empty one are refused with what would be right."""
    for wrong in (*REFUSED[name], ""):
        with pytest.raises(InvalidRequest, match=rf"^{name}: ") as refusal:
            question([(name, wrong)], NOW)
        assert refusal.value.field == name
    with pytest.raises(InvalidRequest, match="more than once"):
        question([(name, "1"), (name, "1")], NOW)


async def test_what_cannot_be_searched_is_a_problem(client: httpx.AsyncClient):
    """Faults are told in problem details: also an unknown parameter, a window that ends before it begins."""
    for parameters in ("sort=asc", "since=1h&until=2h", "limit=0", "client=%00", "text=%ff%00", "before=99"):
        answer = await client.get(f"/executions?{parameters}")

        assert answer.status_code == 400, parameters
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"]


async def test_pages_lead_to_each_other(client: httpx.AsyncClient):
    """`next` and the header `Link` lead to the next page of the same search; the last one has neither."""
    await answered(client, "tide tables", "moon phases", "tide mills")

    first = await client.get("/executions?limit=1&text=TIDE&outcome=answered")
    second = await client.get("/executions" + first.headers["link"].split(">")[0][1:])

    found = [page.json() for page in (first, second)]
    assert [page["executions"][0]["text"] for page in found] == ["tide mills", "tide tables"]
    assert [page["next"] for page in found] == [found[0]["executions"][0]["position"], None]
    assert first.headers["link"].endswith('; rel="next"')
    assert "link" not in second.headers
    assert first.headers["cache-control"] == "no-store"


async def test_a_table_is_for_spreadsheets(client: httpx.AsyncClient):
    """CSV has a heading also without executions, and what somebody searched for is no formula there."""
    empty = await client.get("/executions", headers={"Accept": "text/csv"})
    await answered(client, "=1+1 tides")
    full = await client.get("/executions?format=csv")

    assert empty.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    (line,) = csv.DictReader(io.StringIO(full.text))
    assert empty.text.strip().split(",") == list(line)
    assert (line["text"], line["outcome"]) == ("'=1+1 tides", "answered")


async def test_a_client_sees_its_own_only():
    """Without the scope `reports` the executions of others do not exist, whatever is asked for."""
    keys = Keys()
    one, other = await keys.make("one"), await keys.make("other")
    boss = await keys.make("boss", scopes=("reports",))

    async def seen(client: httpx.AsyncClient, key: str, parameters: str = "") -> list[str]:
        answer = await client.get(f"/executions?{parameters}", headers={"X-API-Key": key})
        assert answer.status_code == 200
        return [found["client"] for found in answer.json()["executions"]]

    async with served(keys=keys) as (_, client):
        for key in (one.raw, other.raw, one.raw):
            await client.post("/search", json={"query": "tides"}, headers={"X-API-Key": key})

        assert await seen(client, one.raw) == ["one", "one"]
        assert await seen(client, one.raw, "client=other") == []
        assert await seen(client, one.raw, "text=tide&client=one") == ["one", "one"]
        assert await seen(client, boss.raw) == ["one", "other", "one"]
        assert await seen(client, boss.raw, "client=other") == ["other"]


async def test_a_stranger_learns_nothing(memory: MemoryGateway, client: httpx.AsyncClient):
    """Who is not known is told so, and not what is wrong with the question."""
    for parameters in ("", "limit=0"):
        answer = await client.get(f"/executions?{parameters}", headers={"x-forwarded-for": "1.2.3.4"})

        assert answer.status_code == 401
    await memory.recorder.aclose()
    assert [frame.stream for frame in memory.journal.frames] == ["callers"]


async def test_few_search_at_once(monkeypatch: pytest.MonkeyPatch):
    """Who finds no place for too long is told when to ask again; nobody is counted as turned away.

    A page keeps what was looked for.
    """
    monkeypatch.setattr(orchestrator.gateway, "SEARCH_WAIT_S", 0.05)
    may_go = asyncio.Event()
    async with served() as (memory, client), asyncio.timeout(20.0):
        find = memory.gateway.reports.executions

        async def slowly(query: ExecutionQuery) -> FoundExecutions:
            await may_go.wait()
            return await find(query)

        monkeypatch.setattr(memory.gateway.reports, "executions", slowly)
        under_way = [asyncio.create_task(client.get("/executions?text=tide")) for _ in range(2)]
        await asyncio.sleep(0)
        refused, page = [
            await client.get(f"{path}?text=tide") for path in ("/executions", "/console/executions")
        ]
        may_go.set()

        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["code"] == "overloaded"
        assert (page.status_code, page.headers["retry-after"]) == (503, "1")
        assert 'value="tide"' in page.text
        assert [answer.status_code for answer in await asyncio.gather(*under_way)] == [200, 200]
        assert (await client.get("/executions?text=tide")).status_code == 200
    assert memory.journal.frames == []
