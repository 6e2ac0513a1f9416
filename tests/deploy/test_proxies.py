"""What both proxies do between callers and instances, seen from both sides; the instances are scripted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.http_server import Answer, HttpServer, Request, Wire
from tests.support.proxies import HAProxy, Nginx, Proxy

COUNT = 3


class Instance:
    """Stands where an instance of AMOS would: records what arrives and answers, or misbehaves if told so."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.seen: list[Request] = []
        self.behaviour = "answers"
        self.server = HttpServer(self._handle)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.server.port}"

    async def _handle(self, request: Request, wire: Wire) -> None:
        if request.path == "/readyz":
            wire.send(Answer())
            return
        self.seen.append(request)
        if self.behaviour == "resets":
            wire.reset()
        elif self.behaviour == "closes":
            wire.close()
        elif self.behaviour == "fails":
            wire.send(Answer(status=503, headers={"Retry-After": "7"}, body=b"mine"))
        elif self.behaviour == "streams":
            head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Accel-Buffering: no\r\n\r\n"
            wire._transport.write(head.encode() + b"data: first\n\n")
            await wire.hang()
        else:
            wire.send(Answer(headers={"X-Request-Id": "id-of-amos"}, body=str(self.number).encode()))


class Front:
    """A proxy, its instances and a client of it."""

    def __init__(self, proxy: Proxy, instances: list[Instance], client: httpx.AsyncClient) -> None:
        self.proxy = proxy
        self.instances = instances
        self.client = client

    @property
    def seen(self) -> list[Request]:
        """All calls that arrived at any instance."""
        return [request for instance in self.instances for request in instance.seen]

    def all_do(self, behaviour: str) -> None:
        """Every instance behaves like that from now on."""
        for instance in self.instances:
            instance.behaviour = behaviour


@contextlib.asynccontextmanager
async def fronted(make: Callable[[list[str]], Proxy]) -> AsyncIterator[Front]:
    """Three instances behind a proxy."""
    instances = [Instance(number) for number in range(COUNT)]
    async with contextlib.AsyncExitStack() as stack:
        for instance in instances:
            await instance.server.start()
            stack.push_async_callback(instance.server.stop)
        proxy = await stack.enter_async_context(make([instance.address for instance in instances]))
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=proxy.base_url, trust_env=False, timeout=10.0)
        )
        yield Front(proxy, instances, client)


@pytest.fixture(params=[Nginx, HAProxy])
async def front(request: pytest.FixtureRequest) -> AsyncIterator[Front]:
    """Each proxy in turn."""
    async with fronted(request.param) as found:
        yield found


async def test_calls_are_spread_and_pass_unchanged(front: Front):
    """Each instance gets calls; body, key, trace and MCP headers arrive, and AMOS's answer comes back."""
    sent = {
        "Authorization": "Bearer amos_live_x",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "X-Request-Id": "of-the-caller",
        "Mcp-Method": "tools/call",
        "Mcp-Name": "web_search",
        "MCP-Protocol-Version": "2026-07-28",
        "Host": "search.example",
    }

    answers = [await front.client.post("/search?a=1", json={"query": "q"}, headers=sent) for _ in range(12)]

    assert {answer.status_code for answer in answers} == {200}
    assert {answer.text for answer in answers} == {"0", "1", "2"}
    assert answers[0].headers["x-request-id"] == "id-of-amos"
    for request in front.seen:
        assert {name: request.headers.get(name.lower()) for name in sent} == sent
        assert (request.target, json.loads(request.body)) == ("/search?a=1", {"query": "q"})


async def test_what_a_client_says_of_its_address_is_replaced(front: Front):
    """Forged forwarding headers do not reach AMOS; it learns the address that the connection came from."""
    forged = {
        "X-Forwarded-For": "203.0.113.9, 10.0.0.1",
        "Forwarded": "for=203.0.113.9",
        "X-Real-IP": "203.0.113.9",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Port": "1",
        "X-Forwarded-Prefix": "/evil",
    }

    await front.client.get("/reports/health", headers=forged)

    [request] = front.seen
    told = {
        name: value for name, value in request.headers.items() if "forward" in name or name == "x-real-ip"
    }
    assert told == {"x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http"}


async def test_an_instance_that_is_gone_costs_nobody_anything(front: Front):
    """While two of three refuse connections the third answers every call, also those that change things."""
    await front.instances[0].server.stop()
    await front.instances[1].server.stop()

    answers = [await front.client.post(path) for path in ("/keys", "/search") * 10]

    assert [(answer.status_code, answer.text) for answer in answers] == [(200, "2")] * 20


async def test_a_search_that_was_cut_off_is_asked_elsewhere(front: Front):
    """When a connection ends without a word after the call was sent, reading is repeated elsewhere."""
    front.instances[0].behaviour = front.instances[1].behaviour = "resets"

    for path in ("/search", "/extract", "/mcp", "/tavily/search"):
        answer = await front.client.post(path, json={"query": "q"})
        assert (answer.status_code, answer.text) == (200, "2")
    assert (await front.client.get("/search?q=q")).status_code == 200


async def test_what_changes_something_is_sent_once(front: Front):
    """A call that is no reading and may have been begun is not sent again: the caller learns of it."""
    front.all_do("resets")

    answer = await front.client.post("/keys", json={"name": "x"})

    assert answer.status_code in (502, 503)
    assert len(front.seen) == 1


async def test_an_answer_is_an_answer(front: Front):
    """A 503 of AMOS is passed on as it is and asks no other instance: it was executed, and perhaps paid."""
    front.all_do("fails")

    answer = await front.client.post("/search", json={"query": "q"})

    assert (answer.status_code, answer.text, answer.headers["retry-after"]) == (503, "mine", "7")
    assert len(front.seen) == 1


async def test_a_large_body_arrives_whole(front: Front):
    """As much as AMOS takes arrives, byte for byte."""
    answer = await front.client.post("/keys", content=b"x" * 1024**2)

    assert answer.status_code == 200
    assert [len(request.body) for request in front.seen] == [1024**2]


async def test_a_body_that_is_too_large_stops_at_nginx():
    """More than AMOS takes gets 413 as JSON and reaches no instance; HAProxy leaves that to AMOS."""
    async with fronted(Nginx) as front:
        answer = await front.client.post("/keys", content=b"x" * (1024**2 + 1))

    assert (answer.status_code, answer.json()["status"]) == (413, 413)
    assert answer.headers["content-type"] == "application/problem+json"
    assert front.seen == []


async def test_nobody_can_be_reached(front: Front):
    """Without any instance callers get 503, a time to come back, and a problem in JSON; and so it ends."""
    for instance in front.instances:
        await instance.server.stop()

    answer = await front.client.get("/reports/health")

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "no_instance"

    await front.instances[1].server.start()

    async with asyncio.timeout(20):
        while (await front.client.get("/reports/health")).status_code != 200:  # noqa: ASYNC110 - a poll
            await asyncio.sleep(0.2)


async def test_the_place_does_not_stay_closed(front: Front):
    """After failures on every instance the first call that could be answered is."""
    front.all_do("resets")
    for _ in range(10):
        assert (await front.client.post("/search", json={"query": "q"})).status_code in (502, 503)
    seen = len(front.seen)
    front.all_do("answers")

    answer = await front.client.post("/search", json={"query": "q"})

    assert answer.status_code == 200
    # A call that ends whoever it is sent to is sent to four at most.
    assert seen <= 10 * 4


async def test_events_arrive_as_they_are_sent(front: Front):
    """An event stream is not held back until it is complete."""
    front.all_do("streams")

    async with asyncio.timeout(5), front.client.stream("POST", "/mcp", json={}) as answer:
        first = await anext(answer.aiter_lines())

    assert first == "data: first"


async def test_no_query_reaches_the_log(front: Front):
    """The proxy's log is JSON, tells path and status of each call, and no query text, also of failures."""
    await front.client.get("/search?q=canary-in-the-query")
    front.all_do("resets")
    await front.client.get("/search?q=canary-in-the-query")
    for instance in front.instances:
        await instance.server.stop()
    await front.client.get("/search?q=canary-in-the-query")
    await asyncio.sleep(0.2)

    lines: list[dict[str, Any]] = [
        json.loads(line) for line in front.proxy.log.splitlines() if line.startswith("{")
    ]
    searches = [line for line in lines if line["url.path"] == "/search"]
    assert [line["http.response.status_code"] >= 500 for line in searches] == [False, True, True]
    assert "canary" not in front.proxy.log


async def test_no_key_in_a_path_reaches_the_log(front: Front):
    """Where a key may stand in the path (AMOS_PATH_KEYS) the log tells the path without it."""
    paths = {
        "/searxng/canary-key/search?q=tides": "/searxng/-/search",
        "/searxng//canary-key/search": "/searxng/-/search",
        "/searxng/canary-key": "/searxng/-",
        "/t/searxng/canary-key/search": "/t/searxng/-/search",
        "/searxng/search?q=tides": "/searxng/search",
        "/searxng": "/searxng",
        "/v1/search": "/v1/search",
    }
    for path in paths:
        await front.client.get(path)
    await asyncio.sleep(0.2)

    lines = [json.loads(line) for line in front.proxy.log.splitlines() if line.startswith("{")]
    assert [line["url.path"] for line in lines][-len(paths) :] == list(paths.values())
    assert "canary" not in front.proxy.log


async def test_tavily_clients_understand_nginx(tmp_path: Path):
    """On Tavily's paths nginx speaks in Tavily's envelope, as AMOS does."""
    async with fronted(Nginx) as front:
        for instance in front.instances:
            await instance.server.stop()

        answer = await front.client.post("/search", json={"query": "q"})

    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "detail": {"error": "No instance of AMOS can be reached."},
        "amos": {"code": "no_instance"},
    }


async def test_the_tls_example_works(tmp_path: Path):
    """The example serves the same over TLS 1.2 and 1.3, says https to AMOS, and nothing older is spoken."""
    certificate = certificate_in(tmp_path)

    async with fronted(lambda instances: Nginx(instances, tls=tmp_path)) as front:
        assert isinstance(front.proxy, Nginx)
        url = f"https://localhost:{front.proxy.tls_port}/search"
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = ssl.create_default_context(cafile=certificate)
            context.minimum_version = context.maximum_version = version
            async with httpx.AsyncClient(verify=context, trust_env=False) as client:
                assert (await client.post(url, json={"query": "q"})).status_code == 200

    assert {request.headers["x-forwarded-proto"] for request in front.seen} == {"https"}


def certificate_in(folder: Path) -> Path:
    """A certificate for localhost and its key, in the files that the example names."""
    folder.chmod(0o755)
    for parent in folder.parents:
        if parent != Path(parent.anchor) and parent.stat().st_uid == folder.stat().st_uid:
            parent.chmod(parent.stat().st_mode | 0o011)
    certificate, key = folder / "fullchain.pem", folder / "privkey.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    key.chmod(0o644)
    return certificate
