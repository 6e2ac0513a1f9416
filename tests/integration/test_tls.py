"""HTTPS by `amos serve` itself: both versions of HTTP, nothing in clear text, a redirect that leads there."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio

from api.tls import TlsFiles
from tests.support.certificates import make, trusting
from tests.support.ports import free_port
from tests.support.processes import AmosProcesses, until
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """The server's certificate and key."""
    return make(tmp_path_factory.mktemp("tls"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tavily() -> AsyncIterator[TavilySimulator]:
    """Tavily, simulated."""
    async with TavilySimulator() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def amos(
    tmp_path_factory: pytest.TempPathFactory, files: TlsFiles, tavily: TavilySimulator
) -> AsyncIterator[AmosProcesses]:
    """`amos serve` with a certificate and a port for plain HTTP."""
    settings = {
        "AMOS_TLS_CERT_FILE": str(files.cert),
        "AMOS_TLS_KEY_FILE": str(files.key),
        "AMOS_REDIRECT_PORT": str(free_port()),
        "TAVILY_API_KEY": tavily.api_key,
        "AMOS_TAVILY_BASE_URL": tavily.base_url,
    }
    async with AmosProcesses(tmp_path_factory.mktemp("amos") / "var", settings) as running:
        yield running


def client(amos: AmosProcesses, files: TlsFiles, *, http2: bool = False) -> httpx.AsyncClient:
    """A client that trusts our certificate alone."""
    return httpx.AsyncClient(
        base_url=amos.base_url, verify=trusting(files), http2=http2, timeout=20.0, trust_env=False
    )


def plain(amos: AmosProcesses) -> httpx.AsyncClient:
    """A client of the port for plain HTTP."""
    return httpx.AsyncClient(
        base_url=f"http://localhost:{amos.settings['AMOS_REDIRECT_PORT']}", timeout=20.0, trust_env=False
    )


@pytest.mark.parametrize(("http2", "version"), [(False, "HTTP/1.1"), (True, "HTTP/2")])
async def test_both_versions_of_http_are_served(
    amos: AmosProcesses, files: TlsFiles, http2: bool, version: str
):
    """The client chooses in the handshake, and every answer tells browsers to stay with HTTPS."""
    async with client(amos, files, http2=http2) as asking:
        answers = [
            await asking.post("/search", json={"query": f"tide tables {version}"}),
            await asking.get("/livez"),
            await asking.get("/nowhere"),
            *await asyncio.gather(*(asking.post("/search", json={"query": "tides"}) for _ in range(20))),
        ]

    assert {answer.http_version for answer in answers} == {version}
    assert [answer.status_code for answer in answers] == [200, 200, 404, *[200] * 20]
    for answer in answers:
        assert answer.headers["strict-transport-security"] == "max-age=63072000; includeSubDomains"
        assert "server" not in answer.headers


async def test_old_versions_of_tls_are_refused(amos: AmosProcesses, files: TlsFiles):
    """TLS 1.2 and 1.3 are spoken, and what was before them is not."""
    port = urlsplit(amos.base_url).port
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = trusting(files)
        context.minimum_version = context.maximum_version = version
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        assert writer.get_extra_info("ssl_object").version() == version.name.replace("_", ".")
        writer.close()
    # A first message of TLS 1.0 by hand, since no library offers it any more.
    hello = (
        bytes.fromhex("16030100310100002d0301")
        + bytes(32)
        + bytes.fromhex("000006002f00350005010000 00".replace(" ", ""))
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(hello)
    async with asyncio.timeout(5.0):
        answer = await reader.read()
    assert answer[:1] in (b"", b"\x15")  # an alert, or nothing
    writer.close()


async def test_clear_text_is_not_answered(amos: AmosProcesses):
    """Plain HTTP on the port of HTTPS gets nothing."""
    async with httpx.AsyncClient(trust_env=False) as asking:
        with pytest.raises(httpx.TransportError):
            await asking.get(amos.base_url.replace("https", "http"))


async def test_a_page_is_sent_to_https(amos: AmosProcesses):
    """GET and HEAD are led to the same path and question, on the host they asked for."""
    port = urlsplit(amos.base_url).port
    async with plain(amos) as asking:
        for method in ("GET", "HEAD"):
            answer = await asking.request(method, "/t/search?q=a%20b&max_results=3")

            assert answer.status_code == 308
            assert answer.headers["location"] == f"https://localhost:{port}/t/search?q=a%20b&max_results=3"
            assert "strict-transport-security" not in answer.headers


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        *(("POST", {}), ("QUERY", {}), ("DELETE", {})),
        *(("GET", {"Authorization": "Bearer amos_live_x"}), ("GET", {"X-API-Key": "amos_live_x"})),
    ],
)
async def test_what_may_carry_a_key_is_not_redirected(
    amos: AmosProcesses, tavily: TavilySimulator, method: str, headers: dict[str, str]
):
    """A client redirected with its key sends it in clear text for ever; one that is refused is mended."""
    tavily.clear()
    async with plain(amos) as asking:
        answer = await asking.request(method, "/search", json={"query": "tides"}, headers=headers)

    assert answer.status_code == 403
    assert "https://localhost" in answer.json()["detail"]["error"]
    assert "location" not in answer.headers
    assert tavily.count == 0


@pytest.mark.parametrize("host", ["evil.example", "evil.example@localhost", "localhost.evil.example:80"])
async def test_nobody_is_redirected_to_another_host(amos: AmosProcesses, host: str):
    """The target is made of a name that is ours, or not at all."""
    async with plain(amos) as asking:
        answer = await asking.get("/", headers={"Host": host})

    assert answer.status_code == 421
    assert "location" not in answer.headers


async def test_a_stop_finishes_what_is_under_way(tmp_path: Path, files: TlsFiles, tavily: TavilySimulator):
    """Over TLS too calls are finished, and an idle connection holds up nothing.

    Who comes meanwhile is refused on both ports, also while the worker stands still.
    """
    redirect_port = free_port()
    settings = {
        "AMOS_REDIRECT_PORT": str(redirect_port),
        "AMOS_TLS_CERT_FILE": str(files.cert),
        "AMOS_TLS_KEY_FILE": str(files.key),
        "TAVILY_API_KEY": tavily.api_key,
        "AMOS_TAVILY_BASE_URL": tavily.base_url,
    }
    async with AmosProcesses(tmp_path / "var", settings) as amos:
        tavily.clear()
        tavily.delay_s = 1.0
        try:
            async with client(amos, files) as idle, client(amos, files, http2=True) as asking:
                await idle.get("/livez")
                under_way = [
                    asyncio.create_task(asking.post("/search", json={"query": f"question {n}"}))
                    for n in range(10)
                ]
                await until(lambda: tavily.count == 10, 10.0, lambda: f"{tavily.count} arrived")
                async with asyncio.timeout(10.0):
                    amos.signal("worker", signal.SIGSTOP)
                    stopping = asyncio.create_task(amos.stop())
                    await until(lambda: "AMOS is stopping" in amos.log, 10.0, lambda: amos.log)
                    for port in (urlsplit(amos.base_url).port, redirect_port):
                        with pytest.raises(ConnectionRefusedError):
                            await asyncio.open_connection("127.0.0.1", port)
                    amos.signal("worker", signal.SIGCONT)
                    assert await stopping == 0
                answers = await asyncio.gather(*under_way)
        finally:
            tavily.delay_s = 0.0

    assert {answer.status_code for answer in answers} == {200}
    assert "Traceback" not in amos.log


async def test_a_taken_port_of_the_redirect_is_a_sentence(tmp_path: Path, files: TlsFiles):
    """The start ends with status 1 and says which setting to change."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = str(other.getsockname()[1])
        settings = {"AMOS_TLS_CERT_FILE": str(files.cert), "AMOS_TLS_KEY_FILE": str(files.key)}
        settings["AMOS_REDIRECT_PORT"] = taken
        status, output = await AmosProcesses(tmp_path / "var", settings).command("serve")

    assert status == 1
    assert len(output.splitlines()) == 1
    assert f"'sport = :{taken}'` shows who has it; end it, or set AMOS_REDIRECT_PORT to another." in output


async def test_one_port_for_both_is_a_sentence(tmp_path: Path, files: TlsFiles):
    """The port in force counts: what AMOS_PORT says is no matter where `--port` says something else."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port, taken = str(free_port()), str(other.getsockname()[1])
        settings = {"AMOS_TLS_CERT_FILE": str(files.cert), "AMOS_TLS_KEY_FILE": str(files.key)}
        settings |= {"AMOS_PORT": port, "AMOS_REDIRECT_PORT": port}
        amos = AmosProcesses(tmp_path / "var", settings)
        status, same = await amos.command("serve")
        _, others = await amos.command("serve", "--port", taken)

    assert status == 1
    assert "AMOS_REDIRECT_PORT: must be another port than AMOS_PORT (or --port)." in same
    assert f"cannot listen on 127.0.0.1:{taken}" in others


async def test_a_bad_certificate_is_a_sentence(tmp_path: Path, files: TlsFiles):
    """The start ends with status 1 and says which file is wrong."""
    other = make(tmp_path / "other")
    settings = {"AMOS_TLS_CERT_FILE": str(files.cert), "AMOS_TLS_KEY_FILE": str(other.key)}
    status, output = await AmosProcesses(tmp_path / "var", settings).command("serve")

    assert status == 1
    assert len(output.splitlines()) == 1
    assert "the key does not belong to the certificate" in output
