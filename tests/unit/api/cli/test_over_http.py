"""The way to a server: what its errors say, and what is not its address."""

from __future__ import annotations

import json
import ssl

import httpx
import pytest

from amos_sdk import NO_RETRIES, AsyncClient
from api.cli.failure import CommandError
from api.cli.over_http import NEXT_STEPS, HttpConnection, open_client


def connection(handler) -> HttpConnection:
    """A connection to a server that answers with what `handler` returns."""
    return HttpConnection(
        AsyncClient("http://amos.example/gw", retries=NO_RETRIES, transport=httpx.MockTransport(handler))
    )


async def test_a_search_is_a_post_below_the_prefix():
    """The body goes to search below the given address, and --no-cache becomes the header that asks for it."""

    def handler(request: httpx.Request) -> httpx.Response:
        assert (request.method, str(request.url)) == ("POST", "http://amos.example/gw/search")
        assert request.headers["Cache-Control"] == "no-cache"
        return httpx.Response(200, content=request.content)

    answer = await connection(handler).search({"query": "tide"}, no_cache=True)

    assert json.loads(answer) == {"query": "tide"}


async def test_an_execution_id_cannot_leave_its_path():
    """What is not a plain id is quoted, so that it stays one part of the path."""

    def handler(request: httpx.Request) -> httpx.Response:
        assert request.url.raw_path == b"/gw/executions/..%2Fhealth"
        return httpx.Response(404, json={"detail": "No such execution."})

    with pytest.raises(CommandError, match=r"No such execution\."):
        await connection(handler).execution("../health")


@pytest.mark.parametrize(("status", "exit_code"), [(400, 2), (422, 2), (401, 1), (432, 1), (500, 1)])
async def test_a_refusal_becomes_an_exit_code(status, exit_code):
    """A wrong request is a usage error, every other refusal a failure; the server's sentence is kept."""
    asking = connection(lambda _: httpx.Response(status, json={"detail": {"error": "No."}}))

    with pytest.raises(CommandError) as caught:
        await asking.search({}, no_cache=False)

    assert caught.value.failure.sentence == "No."
    assert caught.value.failure.exit_code == exit_code


@pytest.mark.parametrize(
    ("wait", "step"),
    [
        (b"7", "Try again in 7 s."),
        (b"36961", "Try again in 10 h 16 min."),
        (b"\xb2", NEXT_STEPS[429]),
        (b"9" * 5000, NEXT_STEPS[429]),
    ],
)
async def test_retry_after_is_the_next_step(wait, step):
    """When the server says how long to wait, so do we, as people say it; what is no number is passed over."""
    asking = connection(lambda _: httpx.Response(429, headers={b"Retry-After": wait}, text="slow"))

    with pytest.raises(CommandError) as caught:
        await asking.search({}, no_cache=False)

    assert caught.value.failure[:2] == ("HTTP 429 Too Many Requests", step)


async def test_a_server_that_cannot_warm_leads_to_what_warming_needs():
    """The same next step as without a server."""
    asking = connection(
        lambda _: httpx.Response(409, json={"detail": "Out of reach.", "code": "cannot_warm"})
    )

    with pytest.raises(CommandError) as caught:
        async for _ in asking.warm({}):
            pass

    assert caught.value.failure[:2] == (
        "Out of reach.",
        "docs/operations/caching.md says what warming needs.",
    )


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError])
async def test_every_transport_failure_is_a_sentence(error):
    """No answer, a late one and a broken one all name the server and what to do."""

    def handler(request: httpx.Request) -> httpx.Response:
        raise error("internal words")

    with pytest.raises(CommandError) as caught:
        await connection(handler).search({}, no_cache=False)

    assert "http://amos.example/gw" in caught.value.failure.sentence
    assert "internal words" not in caught.value.failure.sentence
    assert caught.value.failure.next_step


@pytest.mark.parametrize(
    "response", [httpx.Response(200, text="<html>"), httpx.Response(302, headers={"Location": "/x"})]
)
async def test_another_servers_answer_is_recognised(response):
    """A page or a redirection is no answer of AMOS, and the address is what to check."""
    with pytest.raises(CommandError) as caught:
        await connection(lambda _: response).search({}, no_cache=False)

    assert caught.value.failure.next_step == "Check the address given with --url."


@pytest.mark.parametrize("url", ["ftp://a.example", "http://", "http://a.example:port"])
async def test_what_is_no_address_is_a_usage_error(url):
    """Only http and https addresses are taken."""
    with pytest.raises(CommandError) as caught:
        async with open_client(url):
            raise AssertionError("not reached")

    assert caught.value.failure.exit_code == 2


async def test_an_address_may_leave_out_http():
    """localhost:8000 means http://localhost:8000."""
    async with open_client("localhost:8000") as client:
        assert isinstance(client, HttpConnection)


async def test_a_certificate_nobody_trusts_is_named():
    """It answers all the same: the sentence says why TLS refuses it, the next step what helps."""

    def handler(request: httpx.Request) -> httpx.Response:
        distrust = ssl.SSLCertVerificationError(1, "internal words")
        distrust.verify_message = "self-signed certificate"
        raise httpx.ConnectError("internal words") from distrust

    with pytest.raises(CommandError) as caught:
        await connection(handler).search({}, no_cache=False)

    assert "not trusted: self-signed certificate" in caught.value.failure.sentence
    assert "SSL_CERT_FILE" in caught.value.failure.next_step


async def test_clear_text_to_a_tls_port_is_suspected():
    """A port for TLS drops plain HTTP without a word; the next step names https."""

    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.RemoteProtocolError("internal words")

    with pytest.raises(CommandError) as caught:
        await connection(handler).search({}, no_cache=False)

    assert "https://" in caught.value.failure.next_step


@pytest.mark.parametrize(
    ("code", "advises"), [("permission_denied", True), ("https_required", False), ("foreign_origin", False)]
)
async def test_a_403_advises_a_scope_only_where_one_is_missing(code, advises):
    """Other doors give that status too, and a key with more scopes would not open them."""
    body = {"detail": {"error": "No."}, "amos": {"code": code}}

    with pytest.raises(CommandError) as caught:
        await connection(lambda _: httpx.Response(403, json=body)).search({}, no_cache=False)

    assert ("scope" in caught.value.failure.next_step) is advises


@pytest.mark.parametrize(
    ("url", "key", "is_warned"),
    [
        ("http://amos.example:8000", "amos_live_x", True),
        ("amos.example", "amos_live_x", True),
        ("https://amos.example", "amos_live_x", False),
        ("http://127.0.0.1:8000", "amos_live_x", False),
        ("http://[::1]:8000/gw", "amos_live_x", False),
        ("localhost", "amos_live_x", False),
        ("http://amos.example", None, False),
    ],
)
async def test_a_key_in_clear_text_is_warned_of(url, key, is_warned, capsys):
    """A key that leaves this machine without TLS can be read on the way; the warning does not repeat it."""
    async with open_client(url, key):
        said = capsys.readouterr().err

    assert ("clear text" in said) is is_warned
    assert "amos_live_x" not in said


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_file_of_certificates_that_is_none_is_named(tmp_path, monkeypatch, content):
    """The variable is named, because Python's error names neither it nor the file."""
    if content is not None:
        (tmp_path / "cert.pem").write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))

    with pytest.raises(CommandError) as caught:
        async with open_client("https://amos.example"):
            raise AssertionError("not reached")

    assert "SSL_CERT_FILE" in caught.value.failure.sentence


async def test_a_warming_is_told_line_by_line():
    """Each line of JSON is handed on as it comes."""

    def handler(request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.path) == ("POST", "/gw/cache/warm")
        assert json.loads(request.content) == {"top": 3}
        return httpx.Response(200, content=b'{"candidate": {}, "of": 1}\n{"finished": {}}\n')

    lines = [line async for line in connection(handler).warm({"top": 3})]

    assert lines == [{"candidate": {}, "of": 1}, {"finished": {}}]


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(409, json={"detail": "The cache is being warmed already.", "code": "cannot_warm"}),
        httpx.Response(200, content=b'{"error": {"message": "The cache is being warmed already."}}\n'),
    ],
    ids=["refused", "failed-in-the-middle"],
)
async def test_a_warming_that_fails_is_a_sentence(answer):
    """Before the first line it has a status, after it a line of its own; both read the same."""
    with pytest.raises(CommandError, match="being warmed already"):
        async for _ in connection(lambda _: answer).warm({}):
            pass
