"""The OpenAPI document and the running gateway say the same: about routes, and about every kind of answer."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from api.app import Application, create_app
from api.openapi.catalogue import OPERATIONS
from api.openapi.document import document
from orchestrator.api_keys import SCOPES
from orchestrator.key_admin import KeyWish
from orchestrator.reports.catalogue import REPORTS
from tests.support.described import Described
from tests.support.gateway_server import GatewayServer, serving
from tests.support.simulator import Fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx

    from tests.support.jina_simulator import JinaSimulator
    from tests.support.tavily_simulator import TavilySimulator

PAGE = "https://oceans.example/tides"

IMPLIED = {"OPTIONS", "HEAD", "QUERY"}
"""Methods that the document tells of in words: QUERY is not in OpenAPI 3.1."""


@pytest.fixture
def described() -> Described:
    """The document."""
    return Described(document())


@asynccontextmanager
async def asked(
    tmp_path: Path, *scopes: str, **settings: Any
) -> AsyncIterator[tuple[GatewayServer, httpx.AsyncClient]]:
    """A gateway, and a client whose key has these scopes, or all."""
    async with serving(tmp_path, **settings) as amos:
        await amos.drain()
        assert amos.gateway.keys is not None
        made = await amos.gateway.keys.create(KeyWish(client="acme", scopes=scopes or SCOPES), by="test")
        amos.client.headers["Authorization"] = f"Bearer {made.raw}"
        yield amos, amos.client


def an_address(path: str) -> str:
    """A real path for one with braces."""
    return re.sub(r"\{[^}]+\}", "et3TmRsRXHyo", path)


async def test_every_route_is_described_and_every_description_has_a_route(
    tmp_path: Path, described: Described
):
    """The methods offered at each path are those of the document, and there is no other path."""
    async with serving(tmp_path) as amos:
        await amos.drain()
        app = create_app(amos.gateway, amos.settings)
        assert isinstance(app, Application)
        offered = {
            path: (await amos.client.request("PROPFIND", an_address(path))).headers["allow"]
            for path in described.document["paths"]
        }
    patterns = [
        *(re.compile(re.escape(path)) for path in app._endpoints),
        *(route.path_regex for route in app._router.routes if route.include_in_schema),
    ]
    pages = {route.path for route in app._router.routes if not route.include_in_schema}

    for path, allowed in offered.items():
        methods = {method.upper() for method in described.document["paths"][path]}
        assert set(allowed.split(", ")) - IMPLIED == methods - IMPLIED, path
    for pattern in patterns:
        assert any(pattern.fullmatch(an_address(path)) for path in offered), pattern
    # Pages for people are no API: they may change with any version (docs/decisions/0039-the-console.md).
    assert all(path == "/" or f"{path}/".startswith("/console/") for path in pages), pages


async def test_a_route_of_the_router_without_a_description_is_found(described: Described):
    """The check above can fail: nothing in the document answers to a path that is not in it."""
    with pytest.raises(AssertionError, match="in no path"):
        described.template_of("/gone")


async def _search_and_extract(client: httpx.AsyncClient, check: Any) -> str:
    """Every kind of answer of these two; the id of an execution."""
    everything = {"include_usage": True, "include_images": True, "include_answer": True, "max_results": 99}
    for _ in range(2):  # from the provider, then from the cache
        found = check(await client.post("/search", json={"query": "tide tables", **everything}))
    check(
        await client.post("/search", json={"query": "moons", "include_image_descriptions": True} | everything)
    )
    got = check(await client.get("/search", params={"q": "tide tables"}))
    check(await client.get("/search?q=tide+tables", headers={"If-None-Match": got.headers["etag"]}))
    check(await client.head("/search?q=tide+tables"))
    check(await client.head("/search?q=tide+tables", headers={"If-None-Match": got.headers["etag"]}))
    check(await client.post("/extract", json={"urls": [PAGE, f"{PAGE}/gone"], "include_usage": True}))
    return str(found.json()["request_id"])


async def _search_by_other_doors(client: httpx.AsyncClient, check: Any) -> None:
    for path in ("/v1/search", "/v1/search/web", "/perplexity/search"):
        check(await client.post(path, json={"query": "tide tables"}))
    check(await client.post("/v1/search", json={"query": ["moons", "suns"], "display_server_time": True}))
    for path in ("/searxng", "/searxng/search"):
        got = check(await client.get(f"{path}?q=tide+tables"))
        check(await client.get(f"{path}?q=tide+tables", headers={"If-None-Match": got.headers["etag"]}))
        check(await client.head(f"{path}?q=tide+tables"))
        check(await client.head(f"{path}?q=tide+tables", headers={"If-None-Match": got.headers["etag"]}))
        check(await client.post(path, data={"q": "tide tables"}))
    check(await client.post("/openwebui/search", json={"query": "tide tables", "count": 2}))
    check(await client.post("/openwebui/load", json={"urls": [PAGE, f"{PAGE}/gone"]}))


async def _pass_on(client: httpx.AsyncClient, check: Any) -> None:
    mapped = check(await client.post("/map", json={"url": "https://oceans.example"}))
    check(await client.post("/crawl", json={"url": "https://oceans.example", "include_usage": True}))
    praise = {"request_id": mapped.json()["request_id"], "human_score": 1}
    check(await client.post("/feedback", json=praise))
    for ask in (client.get, client.head):  # under way when asked first, done when asked again
        begun = check(await client.post("/research", json={"input": "tides"}))
        statuses = [check(await ask(f"/research/{begun.json()['request_id']}")).status_code for _ in range(3)]
        assert set(statuses) == {202, 200}
    check(await client.get("/usage"))


async def _change_providers(client: httpx.AsyncClient, check: Any) -> None:
    wish = {"name": "wiki", "kind": "searxng", "options": {"url": "http://searxng.example.org"}}
    check(await client.get("/providers"))
    check(await client.post("/providers", json=wish))
    check(await client.patch("/providers/wiki", json={"enabled": False}))
    check(await client.delete("/providers/wiki"))


async def _administer(client: httpx.AsyncClient, check: Any) -> None:
    limits = {"burst": 5, "per_minute": None}
    made = check(await client.post("/keys", json={"client": "team", "expires_in_s": 60, "limits": limits}))
    check(await client.post(f"/keys/{made.json()['id']}/rotate"))
    check(await client.get("/keys"))
    check(await client.delete(f"/keys/{made.json()['id']}"))
    check(await client.get("/cache"))
    check(await client.post("/cache/warm", json={"dry_run": True}))
    check(await client.request("DELETE", "/cache?tier=l1"))
    check(await client.get("/budget"))
    check(await client.post("/budget/reconcile"))


async def _look(client: httpx.AsyncClient, check: Any) -> None:
    for path in ("/livez", "/readyz", "/health", "/metrics", "/metrics/instance"):
        check(await client.get(path))
    check(await client.get("/metrics", headers={"Accept": "application/openmetrics-text"}))
    for name, report in REPORTS.items():
        for by in ("", *report.by):
            check(await client.get(f"/reports/{name}", params={"by": by} if by else {}))
        check(await client.get(f"/reports/{name}?format=csv"))
    for path in ("/openapi.json", "/docs"):
        answer = check(await client.get(path))
        check(await client.get(path, headers={"If-None-Match": answer.headers["etag"]}))


async def _speak_mcp(client: httpx.AsyncClient, check: Any) -> None:
    headers = {"Accept": "application/json, text/event-stream"}
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    call = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    check(await client.post("/mcp", json=call, headers=headers))
    call = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    check(await client.post("/mcp", json=call, headers=headers))


async def test_real_answers_are_those_of_the_document(
    tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator, described: Described
):
    """Of every operation every way to succeed: status, headers and body as described, and nothing more."""
    settings = {"tavily": tavily, "jina": jina, "budget_usd_per_day": 10.0, "rate_burst": 1_000}
    async with asked(tmp_path, **settings) as (amos, client):
        execution = await _search_and_extract(client, described.success)
        await amos.drain()
        described.success(await client.get(f"/executions/{execution}"))
        described.success(await client.get("/executions?limit=1&outcome=answered"))
        described.success(await client.get("/executions?limit=1&format=csv"))
        await _search_by_other_doors(client, described.success)
        await _pass_on(client, described.success)
        await amos.drain()
        await _change_providers(client, described.success)
        await _administer(client, described.success)
        await _speak_mcp(client, described.success)
        described.check(await client.post("/mcp", json=[]))
        await amos.drain()
        await _look(client, described.success)

    promised = {
        (operation.method.lower(), operation.path, str(answer.status))
        for operation in OPERATIONS
        for answer in operation.answers
        if answer.status < 400  # for an instance that is not ready see test_probes.py
    }
    assert promised - described.seen == set()


async def test_real_refusals_are_those_of_the_document(
    tmp_path: Path, tavily: TavilySimulator, described: Described
):
    """What a caller does wrong, or may not do, has a status and a code that the document names."""
    check = described.check
    async with asked(tmp_path, "search", tavily=tavily, rate_burst=8) as (amos, client):
        search = {"query": "tide tables"}
        check(await client.post("/search", json={"query": "t"}))
        check(await client.post("/search", content=b"{"))
        check(await client.post("/search", content=b" " * 2_000_000))
        check(await client.post("/search", json=search, headers={"Host": "evil.example"}))
        check(await client.post("/search", json=search, headers={"Origin": "http://evil.example"}))
        own = {"Origin": amos.base_url, "Content-Type": "text/plain"}
        check(await client.post("/search", content=b"{}", headers=own))
        check(await client.post("/search", json=search, headers={"Authorization": "Bearer wrong"}))
        check(await client.post("/search", json=search, headers={"Cache-Control": "no-cache"}))
        check(await client.get("/search?q=x&q=moons", headers={"Cache-Control": "only-if-cached"}))
        check(await client.get("/search?q=new+moons", headers={"Cache-Control": "only-if-cached"}))
        check(await client.head("/search?q=t"))
        check(await client.get("/health", headers={"Authorization": "Bearer wrong"}))
        check(await client.get("/keys"))
        check(await client.get("/executions/1"))
        check(await client.get("/executions?limit=0"))
        check(await client.post("/mcp", content=b"{}", headers={"Content-Type": "text/plain"}))
        check(await client.post("/extract", json={"urls": [PAGE]}))
        for _ in range(8):
            last = check(await client.post("/search", json=search))
        assert last.status_code == 429

    statuses = {status for _, path, status in described.seen if path == "/search" and status >= "400"}
    assert statuses == {"400", "401", "403", "413", "415", "421", "429", "504"}


async def test_real_failures_are_those_of_the_document(
    tmp_path: Path,
    tavily: TavilySimulator,
    described: Described,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    """So are failures of providers, of a plan that is used up, and of the gateway itself."""

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    async with asked(tmp_path, tavily=tavily) as (amos, client):
        tavily.always(Fault.status(500))
        described.check(await client.post("/search", json={"query": "tide tables"}))
    tavily.always(Fault.status(432))
    async with asked(tmp_path / "other", tavily=tavily) as (amos, client):
        described.check(await client.post("/search", json={"query": "tide tables"}))
        monkeypatch.setattr(amos.gateway, "search", broken)
        monkeypatch.setattr(amos.gateway, "health", broken)
        described.check(await client.post("/search", json={"query": "tide tables"}))
        described.check(await client.get("/health"))

    assert {status for _, _, status in described.seen} == {"503", "432", "500"}
    assert "ZeroDivisionError" in caplog.text
