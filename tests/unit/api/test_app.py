"""The application as a whole: every path behind the guard, every failure in its dialect, nothing but HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from starlette.types import Message

from api.app import create_app
from api.settings import Settings
from tests.support.memory_gateway import BASE, MemoryGateway, served

PATHS = ("/search", "/extract", "/livez", "/readyz", "/health", "/reports/health", "/executions/1", "/", "/x")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
    ],
)
async def test_the_guard_covers_every_route(
    client: httpx.AsyncClient, memory: MemoryGateway, path: str, headers: dict[str, str], status: int
):
    """Whatever the path, also one that does not exist, the guard has the first word."""
    for method in ("GET", "POST", "OPTIONS"):
        answer = await client.request(method, path, headers=headers, content=b'{"query": "tides"}')

        assert answer.status_code == status
        assert "detail" in answer.json()
    assert memory.provider.calls == []


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/logs", "application/json"),
        ("/research/1/2", "application/json"),
        ("/documents", "application/problem+json"),
    ],
)
async def test_unknown_paths_answer_in_the_dialect_expected_there(
    client: httpx.AsyncClient, path: str, content_type: str
):
    """A Tavily client that asks for what we lack reads why."""
    answer = await client.post(path, json={})

    assert (answer.status_code, answer.headers["content-type"]) == (404, content_type)


async def test_a_wrong_method_of_any_route_is_405(client: httpx.AsyncClient):
    """Also where the router decides."""
    answer = await client.post("/livez")

    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert answer.json()["code"] == "method_not_allowed"


async def test_a_bug_shows_nothing(
    client: httpx.AsyncClient,
    memory: MemoryGateway,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    """An exception nobody expected is a 500 in the envelope and a traceback in the log."""

    async def broken(call: object) -> None:
        raise ZeroDivisionError("the secret")

    monkeypatch.setattr(memory.gateway, "search", broken)

    answer = await client.post("/search", json={"query": "tides"})

    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["amos"] == {"code": "internal_error"}
    assert "ZeroDivisionError" in caplog.text


async def test_a_provider_s_bug_shows_nothing_either(client: httpx.AsyncClient, memory: MemoryGateway):
    """A provider that breaks is a provider that failed, and its exception is nobody's reading."""
    memory.provider.failure = ZeroDivisionError("the secret")

    answer = await client.post("/search", json={"query": "tides"})

    assert answer.status_code == 503
    assert "secret" not in answer.text


async def test_a_caller_who_leaves_leaves_the_flight(memory: MemoryGateway):
    """A client that hangs up cancels its own call, and the next one gets the answer it began."""
    app = create_app(memory.gateway, Settings())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=BASE) as client:
        first = asyncio.create_task(client.post("/search", json={"query": "tides"}))
        await memory.provider.called.wait()
        first.cancel()
        answer = await client.post("/search", json={"query": "tides"})

    assert answer.status_code == 200
    assert len(memory.provider.calls) == 1


async def exchange(scope: dict[str, Any], incoming: list[Message]) -> list[Message]:
    """What the application sends on a connection that is not HTTP."""
    memory = MemoryGateway()
    sent: list[Message] = []
    messages = iter(incoming)

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    await create_app(memory.gateway, Settings())(scope, receive, send)
    await memory.aclose()
    return sent


async def test_websockets_are_refused():
    """There is nothing to speak over a websocket, and none passes the guard unseen."""
    sent = await exchange(
        {"type": "websocket", "path": "/search", "headers": []}, [{"type": "websocket.connect"}]
    )

    assert [message["type"] for message in sent] == ["websocket.close"]


async def test_the_lifespan_is_answered():
    """Servers announce their start and stop; the gateway's own life is the composition's."""
    sent = await exchange({"type": "lifespan"}, [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


async def test_without_prefixes_none_is_taken_away():
    """A prefix works only where it is configured."""
    async with served() as (_, client):
        assert (await client.post("/t/search", json={"query": "tides"})).status_code == 404


PAGE = {"origin": "https://app.example", "sec-fetch-site": "cross-site"}


async def test_an_allowed_page_may_read_answers_and_failures():
    """Every answer to it says so, names what it may read, and that another page's answer differs."""
    async with served(allowed_origins=("https://app.example",)) as (_, client):
        for path in ("/livez", "/health", "/nowhere", "/search?q=tides"):
            answer = await client.get(path, headers=PAGE)

            assert answer.headers["access-control-allow-origin"] == "https://app.example"
            assert "retry-after" in answer.headers["access-control-expose-headers"]
            assert answer.headers["vary"] == "Origin"
            assert "access-control-allow-credentials" not in answer.headers
        assert answer.status_code == 401


async def test_a_preflight_is_answered_for_allowed_pages_alone():
    """A browser asks first whether a page may send a key."""
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    async with served(allowed_origins=("https://app.example",)) as (memory, client):
        allowed = await client.options("/search", headers={**PAGE, **asks})
        foreign = await client.options("/search", headers={**asks, "origin": "https://evil.example"})
        rebound = await client.options("/search", headers={**PAGE, **asks, "host": "evil.example"})

        assert allowed.status_code == 200
        assert "POST" in allowed.headers["access-control-allow-methods"]
        assert "authorization" in allowed.headers["access-control-allow-headers"]
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"
        for refused in (foreign, rebound):
            assert refused.status_code in (403, 421)
            assert "access-control-allow-methods" not in refused.headers
        assert "access-control-allow-origin" not in foreign.headers
        assert memory.provider.calls == []


async def test_without_allowed_origins_nothing_of_cors_is_said(client: httpx.AsyncClient):
    """The default costs no answer a header."""
    answer = await client.get("/livez")

    assert not [name for name in answer.headers if name.startswith("access-control") or name == "vary"]


async def test_a_problem_says_by_which_ids_it_is_found(client: httpx.AsyncClient):
    """Problem details hold the ids of the answer's own headers: the client's where it sent some."""
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    sent = {"x-request-id": "mine-1", "traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}

    ours = await client.get("/nowhere")
    theirs = await client.get("/nowhere", headers=sent)

    assert ours.json()["request_id"] == ours.headers["x-request-id"]
    assert "trace_id" not in ours.json()
    assert (theirs.json()["request_id"], theirs.json()["trace_id"]) == ("mine-1", trace_id)


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health", "/reports/health", "/search?q=tides"])
async def test_what_a_browser_may_show_is_careful(client: httpx.AsyncClient, path: str):
    """Data is no script, runs none, and stands in no page's frame."""
    answer = await client.get(path)

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert "server" not in answer.headers


async def test_the_answer_of_a_search_is_lean(client: httpx.AsyncClient):
    """Each header costs a cached answer two parts in a hundred of its time: a POST has what clients need."""
    answer = await client.post("/search", json={"query": "tides"})

    assert set(answer.headers) == {
        *("content-type", "content-length", "cache-control", "cache-status", "server-timing"),
        *("x-request-id", "traceparent"),
    }
