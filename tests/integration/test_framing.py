"""Bodies and bytes that are no proper HTTP are bounded, answered if possible, and never the end of us."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from orchestrator import limits
from tests.support.gateway_server import GatewayServer, serving
from tests.support.refusals import refused
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEAD = b"POST /search HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"


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


async def test_ten_megabytes_are_too_much(amos: GatewayServer, tavily: TavilySimulator):
    """A body above the limit is a 413 that tells the limit, and the connection survives it."""
    body = b'{"query":"' + b"x" * 10_000_000 + b'"}'

    refused(await amos.client.post("/search", content=body), 413, str(limits.BODY_BYTES_MAX))
    refused(await amos.client.post("/extract", content=body), 413, str(limits.BODY_BYTES_MAX))
    assert (await amos.search("tide tables")).status_code == 200
    assert all(call.json["query"] == "tide tables" for call in tavily.calls)


async def test_a_chunked_body_is_bounded_too(amos: GatewayServer):
    """Without a Content-Length the size is what arrives."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 100_000

    refused(await amos.client.post("/search", content=chunks()), 413)


async def test_a_post_without_a_body_is_refused(amos: GatewayServer):
    """No Content-Length and no body is an empty body, answered at once."""
    answer = await amos.raw(HEAD + b"\r\n")

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'{"detail":{"error":"The body is empty.' in answer


async def test_a_body_shorter_than_announced_asks_nobody(amos: GatewayServer, tavily: TavilySimulator):
    """Whoever hangs up in the middle of the body has asked nothing, and the server goes on."""
    answer = await amos.raw(HEAD + b'Content-Length: 500\r\n\r\n{"query":"tide tables"}', closes=True)

    assert b" 200 " not in answer[:20]
    assert tavily.count == 0
    assert (await amos.client.get("/livez")).status_code == 200


async def test_a_body_that_never_ends_is_given_up(
    amos: GatewayServer, tavily: TavilySimulator, monkeypatch: pytest.MonkeyPatch
):
    """A body that stays incomplete is a 408 after `BODY_S_MAX`."""
    monkeypatch.setattr(limits, "BODY_S_MAX", 0.2)
    answer = await amos.raw(HEAD + b'Content-Length: 500\r\n\r\n{"query":"tide tables"}')

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"detail":{"error":"The body took longer than' in answer
    assert tavily.count == 0


@pytest.mark.parametrize("length", [b"5", b"abc", b"-1", b"22, 23"])
async def test_a_wrong_length_is_refused(amos: GatewayServer, tavily: TavilySimulator, length: bytes):
    """A Content-Length that is too small or no number is a 400, and what follows the body is no request."""
    answer = await amos.raw(HEAD + b"Content-Length: " + length + b'\r\n\r\n{"query":"tide tables"}')

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Traceback" not in answer
    assert tavily.count == 0


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\x02\x00\x01", b"hello\r\n\r\n", b"GET /search\r\n\r\n", b"\x00" * 99]
)
async def test_what_is_not_http_ends_the_connection(amos: GatewayServer, data: bytes):
    """Bytes of another protocol get at most a 400, and the next client is served."""
    answer = await amos.raw(data, closes=True)

    assert not answer or answer.startswith(b"HTTP/1.1 400 ")
    assert (await amos.client.get("/livez")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/search"),
        ("PUT", "/search"),
        ("GET", "/extract"),
        ("PATCH", "/extract"),
        ("BREW", "/search"),
    ],
)
async def test_a_wrong_method_is_405(amos: GatewayServer, method: str, path: str):
    """A method nobody offers is refused with the list of those that are."""
    response = await amos.client.request(method, path)

    refused(response, 405)
    assert "POST" in response.headers["allow"]


@pytest.mark.parametrize("path", ["/logs", "/org-usage", "/research/a/b"])
async def test_what_tavily_has_and_we_have_not_is_said_in_its_envelope(amos: GatewayServer, path: str):
    """Tavily's other paths are a 404 that its clients can show."""
    refused(await amos.client.post(path, json={"url": "https://a.example/"}), 404)
