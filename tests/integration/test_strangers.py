"""Without keys only the person at this machine may ask: no page in their browser, no client of a proxy."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.support.gateway_server import GatewayServer, serving
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUTES = [
    ("POST", "/search"),
    ("GET", "/search?q=tide+tables"),
    ("QUERY", "/search"),
    ("OPTIONS", "/search"),
    ("POST", "/extract"),
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/health"),
    ("GET", "/reports/health"),
    ("GET", "/reports/hit-rate"),
    ("GET", "/reports/latency"),
    ("GET", "/executions/0199aaaa-0000-7000-8000-000000000000"),
    ("GET", "/nowhere"),
]

FOREIGN = {
    "a page elsewhere": ({"Origin": "https://evil.example"}, 403),
    "another port": ({"Origin": "http://localhost:3000"}, 403),
    "a sandboxed page": ({"Origin": "null"}, 403),
    "an image on a page": ({"Sec-Fetch-Site": "cross-site"}, 403),
    "a neighbour": ({"Sec-Fetch-Site": "same-site"}, 403),
    "a rebound name": ({"Host": "evil.example"}, 421),
    "a name like ours": ({"Host": "localhost.evil.example"}, 421),
    "a rebound address": ({"Host": "127.0.0.1.evil.example:8000"}, 421),
    "another address": ({"Host": "192.168.1.7:8000"}, 421),
    "any address": ({"Host": "0.0.0.0:8000"}, 421),
}
"""Headers that show a stranger, and the status they get."""

PROXIED = [
    {"X-Forwarded-For": "203.0.113.7"},
    {"X-Forwarded-Host": "amos.example"},
    {"X-Forwarded-Proto": "https"},
    {"Forwarded": "for=203.0.113.7"},
    {"Via": "1.1 proxy.example"},
    {"X-Real-IP": "203.0.113.7"},
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tavily() -> AsyncIterator[TavilySimulator]:
    """Tavily, simulated."""
    async with TavilySimulator() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    tmp_path_factory: pytest.TempPathFactory, tavily: TavilySimulator
) -> AsyncIterator[GatewayServer]:
    """One gateway for all of this file: no test leaves anything behind in it but cached answers."""
    async with serving(tmp_path_factory.mktemp("var"), tavily=tavily) as running:
        yield running


@pytest.fixture
def amos(shared: GatewayServer, tavily: TavilySimulator) -> GatewayServer:
    """The gateway, with a simulator that has forgotten every call."""
    tavily.clear()
    return shared


def body_of(method: str, path: str) -> dict[str, Any] | None:
    """A good body for the route, `None` where it takes none."""
    if method not in ("POST", "QUERY"):
        return None
    return {"urls": "https://almanac.example/x"} if path == "/extract" else {"query": "tide tables"}


@pytest.mark.parametrize(("headers", "status"), FOREIGN.values(), ids=FOREIGN)
async def test_a_foreign_page_gets_nowhere(
    amos: GatewayServer, tavily: TavilySimulator, headers: dict[str, str], status: int
):
    """A foreign Origin, a page of another site and a rebound Host are refused on every route."""
    for method, path in ROUTES:
        response = await amos.client.request(method, path, json=body_of(method, path), headers=headers)
        assert response.status_code == status, (method, path)
        assert "access-control-allow-origin" not in response.headers
    assert tavily.count == 0


@pytest.mark.parametrize("headers", PROXIED, ids=lambda headers: next(iter(headers)))
async def test_a_proxied_stranger_is_not_the_local_operator(
    amos: GatewayServer, tavily: TavilySimulator, headers: dict[str, str]
):
    """Whoever comes through a proxy must show a key: 401 on every route that says or does anything."""
    for method, path in ROUTES:
        if path in ("/livez", "/readyz", "/nowhere") or method == "OPTIONS":
            continue
        response = await amos.client.request(method, path, json=body_of(method, path), headers=headers)
        assert response.status_code == 401, (method, path)
        assert response.headers["www-authenticate"].startswith("Bearer")
    assert (await amos.client.get("/livez", headers=headers)).json() == {"status": "live"}
    assert (await amos.client.get("/readyz", headers=headers)).json() == {"status": "ready"}
    assert tavily.count == 0


async def test_a_cached_answer_is_no_strangers_either(amos: GatewayServer):
    """What the local operator has fetched is not shown to others."""
    await amos.search("tide tables")
    response = await amos.search("tide tables", {"X-Forwarded-For": "203.0.113.7"})

    assert response.status_code == 401
    assert "results" not in response.json()
    assert "loopback" in response.json()["detail"]["error"]


async def test_our_own_origin_may_search_as_json_only(amos: GatewayServer):
    """A page of our own must declare JSON, which no foreign form can do."""
    origin = {"Origin": amos.base_url}
    form = {**origin, "Content-Type": "text/plain"}

    assert (await amos.search("tide tables", origin)).status_code == 200
    response = await amos.client.post("/search", content=b'{"query":"tide tables"}', headers=form)
    assert response.status_code == 415


async def test_no_host_or_two_are_refused(amos: GatewayServer):
    """A request must name one host."""
    none = await amos.raw(b"GET /search?q=tide HTTP/1.0\r\n\r\n")
    two = await amos.raw(b"GET /search?q=tide HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")

    assert none.split()[1] == b"400"
    assert two.split()[1] == b"400"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.1.2.3:80", "[::1]:8000"])
async def test_every_name_of_this_machine_will_do(amos: GatewayServer, host: str):
    """The local operator may call us by any loopback name."""
    assert (await amos.search("tide tables", {"Host": host})).status_code == 200


async def test_the_local_operator_may_show_any_key(amos: GatewayServer, tavily: TavilySimulator):
    """Clients insist on sending a key: the local operator's is not looked at and goes nowhere."""
    bearer = await amos.search("with a bearer key", {"Authorization": "Bearer tvly-mine"})
    basic = await amos.search("with another scheme", {"Authorization": "Basic dHZseTptaW5l"})
    in_body = await amos.search("with a key in the body", api_key="tvly-mine")

    await amos.drain()
    assert {response.status_code for response in (bearer, basic, in_body)} == {200}
    for call in tavily.calls:
        assert call.headers["authorization"] == f"Bearer {tavily.api_key}"
        assert "api_key" not in call.json
    assert "tvly-mine" not in str(amos.frames())


async def test_who_is_turned_away_at_the_door_is_counted_too(amos: GatewayServer):
    """Attempts at DNS rebinding and foreign pages are in the health report, by what gave them away."""

    async def refused() -> Counter[str]:
        await asyncio.sleep(1.1)
        await amos.drain()
        return Counter((await amos.client.get("/reports/health")).json()["refused"])

    before = await refused()
    for _ in range(20):
        assert (await amos.search("tide tables", {"Host": "evil.example"})).status_code == 421
    await amos.search("tide tables", {"Origin": "https://evil.example"})

    assert await refused() - before == {"foreign_host": 20, "foreign_origin": 1}


async def test_refusals_are_counted_not_recorded_one_by_one(amos: GatewayServer):
    """Strangers leave a count in the log, not an execution each, so they cannot fill the disk."""
    await amos.drain()
    before = len(amos.frames())
    for _ in range(30):
        await amos.search("tide tables", {"X-Forwarded-For": "203.0.113.7"})
    await asyncio.sleep(1.1)
    await amos.drain()

    frames = amos.frames()[before:]
    counts = [envelope["event"] for frame in frames for envelope in frame["events"]]
    assert {frame["stream"] for frame in frames} == {"callers"}
    assert {event["type"] for event in counts} == {"amos.caller.refused.v1"}
    # They come from one address, whose allowance ends on the way: the rest is refused for that.
    assert {"proxied"} <= {event["reason"] for event in counts} <= {"proxied", "too_often"}
    assert sum(event["count"] for event in counts) >= 30
    assert len(frames) <= 4
