"""The dialects at their doors: headers, limits and keys of the native path, errors in their own form."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest

from orchestrator import limits
from orchestrator.errors import ProviderQuotaExceeded
from tests.support.keys import Keys
from tests.support.memory_gateway import MemoryGateway, served, unreachable

POSTS = {
    "/v1/search": {"query": "tides"},
    "/v1/search/web": {"query": "tides"},
    "/perplexity/search": {"query": "tides"},
    "/openwebui/search": {"query": "tides"},
    "/openwebui/load": {"urls": ["https://a.example/x"]},
}
SEARXNG = ("/searxng", "/searxng/search")
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"tides",
    "no object": b'["tides"]',
    "no UTF-8": b'{"query": "\xff"}',
    "half a surrogate": b'{"query": "\\ud800"}',
    "nested too deeply": b'{"query": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "null": b'{"query": null, "urls": null}',
    "an object": b'{"query": {"a": 1}, "urls": {"a": 1}}',
    "a number": b'{"query": 1e400, "urls": 7}',
    "100,000 of them": b'{"query":["ab"%b],"urls":["u"%b]}' % (b',"ab"' * 100_000, b',"u"' * 100_000),
    "too short": b'{"query": "x", "urls": [""]}',
    "too long": b'{"query": "%b", "urls": ["https://a.example/%b"]}' % (b"x" * 401, b"x" * 3_000),
    "an internal address": b'{"query": "", "urls": ["http://127.0.0.1/"]}',
    "a negative number": b'{"query": "tides", "max_results": -1, "count": -1, "urls": []}',
}


def sentence(answer: httpx.Response) -> str:
    """What a client of the dialect shows of an error; it shows nothing from inside."""
    body = answer.json()
    for inside in ("Traceback", "msgspec", "Struct", ".py"):
        assert inside not in answer.text
    path = answer.request.url.path
    if path.startswith("/openwebui"):
        told: str = body["detail"]
    elif path.startswith("/searxng"):
        told = body["error"]
    else:
        assert body["error"]["code"] == answer.status_code
        told = body["error"]["message"]
    assert told.endswith(".")
    return told


class TestBadInput:
    """Whatever is sent, the caller reads why it was refused, and nobody is asked."""

    @pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
    @pytest.mark.parametrize("path", POSTS)
    async def test_a_body_that_is_no_question(
        self, client: httpx.AsyncClient, memory: MemoryGateway, path: str, body: bytes
    ):
        """It is 400 in the envelope of the dialect."""
        answer = await client.post(path, content=body)

        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/json"
        assert sentence(answer)
        assert memory.provider.calls == []

    @pytest.mark.parametrize(
        ("given", "status", "words"),
        [
            ({}, 400, "q: No query"),
            ({"q": "x"}, 400, "q: Query is too short. Min query length is 2 characters."),
            ({"q": "x" * 401}, 400, "q: Query is too long"),
            ({"q": "tides", "pageno": "0"}, 400, "pageno"),
            ({"q": "tides", "time_range": "decade"}, 400, "time_range"),
            ({"q": "tides", "format": "html"}, 403, "Only format=json"),
            ({"q": "tides", "format": "csv"}, 403, "Only format=json"),
            ({"q": "tides", "format": "rss"}, 403, "Only format=json"),
            ({"q": "tides", **{f"x{n}": "1" for n in range(1_000)}}, 400, "more than 400"),
        ],
    )
    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_parameters_that_are_no_question(
        self,
        client: httpx.AsyncClient,
        memory: MemoryGateway,
        method: str,
        given: dict[str, str],
        status: int,
        words: str,
    ):
        """SearXNG's are refused in its envelope, by URL and by form."""
        place = "params" if method == "GET" else "data"
        answer = await client.request(method, "/searxng/search", **{place: given})  # type: ignore[arg-type]

        assert answer.status_code == status
        assert words in sentence(answer)
        assert memory.provider.calls == []

    @pytest.mark.parametrize("path", [*POSTS, *SEARXNG])
    async def test_a_body_that_is_too_large(
        self, client: httpx.AsyncClient, memory: MemoryGateway, path: str
    ):
        """It is 413, read to its end so that the client sees it."""
        answer = await client.post(path, content=b"x" * (limits.BODY_BYTES_MAX + 1))

        assert answer.status_code == 413
        assert "larger than" in sentence(answer)

    @pytest.mark.parametrize(
        ("path", "allowed"),
        [*dict.fromkeys(POSTS, "OPTIONS, POST").items(), ("/searxng", "GET, HEAD, OPTIONS, POST")],
    )
    async def test_a_method_nobody_offers(self, client: httpx.AsyncClient, path: str, allowed: str):
        """It is 405 with those there are; OPTIONS lists the same, and asks nobody."""
        for method in {"GET", "HEAD", "PUT", "PATCH", "DELETE", "QUERY", "TRACE"} - set(allowed.split(", ")):
            answer = await client.request(method, path)
            assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
            if method != "HEAD":
                assert sentence(answer)

        options = await client.options(path)
        assert (options.status_code, options.headers["allow"], options.content) == (200, allowed, b"")

    @pytest.mark.parametrize(
        "path", ["/v1", "/v1/search/a/b", "/v1/searches", "/perplexity", "/searxng/a/b", "/openwebui"]
    )
    async def test_a_path_nobody_offers(self, client: httpx.AsyncClient, path: str):
        """It is 404 in the dialect that is expected there."""
        answer = await client.post(path, json={"query": "tides"})

        assert answer.status_code == 404
        assert sentence(answer)

    @pytest.mark.parametrize("path", ["/perplexity/search", "/openwebui/search"])
    async def test_what_is_merely_too_much_is_answered(
        self, client: httpx.AsyncClient, memory: MemoryGateway, path: str
    ):
        """More results than there are, repeated and unknown fields are no errors."""
        body = b'{"query": "x", "query": "tides", "max_results": 1e9, "count": 99, "new": {"a": [1]}}'

        answer = await client.post(path, content=body)

        assert answer.status_code == 200
        [asked] = memory.provider.calls
        assert (getattr(asked, "query", ""), getattr(asked, "max_results", 0)) == ("tides", 20)


class TestSameAsNative:
    """What does not depend on the dialect."""

    @pytest.mark.parametrize("path", [path for path in POSTS if "load" not in path])
    async def test_the_headers_are_those_of_the_native_path(self, client: httpx.AsyncClient, path: str):
        """How it came about, how long it took, whose call it was."""
        trace = "0af7651916cd43dd8448eb211c80319c"
        sent = {"x-request-id": "mine", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
        ours, theirs = {"query": "tides", "max_results": 10}, {"query": "tides", "count": 10}

        native_miss = await client.post("/search", json={"query": "ebb"}, headers=sent)
        miss = await client.post(path, json=theirs, headers=sent)
        native_hit = await client.post("/search", json=ours, headers=sent)
        hit = await client.post(path, json=theirs, headers=sent)

        for answer, native in ((miss, native_miss), (hit, native_hit)):
            assert list(answer.headers) == list(native.headers)
            for name in ("x-request-id", "cache-control", "content-type"):
                assert answer.headers[name] == native.headers[name]
            assert answer.headers["traceparent"].split("-")[1] == trace
        assert miss.headers["cache-status"] == native_miss.headers["cache-status"]
        assert hit.headers["cache-status"].startswith("amos-l1; hit; ttl=")

    @pytest.mark.parametrize("path", SEARXNG)
    async def test_a_get_can_be_revalidated(self, client: httpx.AsyncClient, path: str):
        """As on the native path: the tag of what was found, 304 if it is known, no body for HEAD."""
        url = f"{path}?q=tides&format=json"

        first = await client.get(url)
        head = await client.head(url)
        known = await client.get(url, headers={"if-none-match": first.headers["etag"]})

        assert first.json()["results"][0]["url"] == "https://almanac.example/tides"
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) > 100
        assert (known.status_code, known.content) == (304, b"")
        assert "accept-query" not in first.headers

    @pytest.mark.parametrize(
        "header", ["authorization: Bearer {}", "Authorization: bearer {}", "X-API-Key: {}"]
    )
    async def test_a_key_is_taken_from_any_header_it_may_be_in(self, header: str):
        """And only from there: a key in a body or a query string is not looked at by these dialects."""
        keys = Keys()
        key = (await keys.make()).raw
        name, _, value = header.partition(": ")
        async with served(keys=keys) as (_, client):
            for path, body in POSTS.items():
                assert (await client.post(path, json=body)).status_code == 401
                assert (await client.post(path, json={**body, "api_key": key})).status_code == 401
                answer = await client.post(path, json=body, headers={name: value.format(key)})
                assert answer.status_code == 200
                assert "ratelimit" in answer.headers
            for path in SEARXNG:
                url = f"{path}?q=tides&format=json"
                assert (await client.get(f"{url}&api_key={key}")).status_code == 401
                assert (await client.get(url, headers={name: value.format(key)})).status_code == 200

    @pytest.mark.parametrize("path", [*POSTS, "/searxng/search?q=tides"])
    async def test_a_failure_keeps_its_status_and_its_wait(
        self, client: httpx.AsyncClient, memory: MemoryGateway, path: str
    ):
        """When nobody can answer it is 503 with Retry-After, and a used-up quota 429."""
        ask = client.get if "searxng" in path else client.post
        told: dict[str, Any] = {} if "searxng" in path else {"json": POSTS[path]}
        memory.provider.failure = unreachable()
        failed = await ask(path, **told)
        memory.provider.failure = ProviderQuotaExceeded("Used up.", provider="scripted", reason="http_432")
        used_up = await ask(path, **told)

        assert (failed.status_code, used_up.status_code) == (503, 429)
        assert int(failed.headers["retry-after"]) >= 1
        assert sentence(failed)
        assert sentence(used_up)
        assert failed.headers["traceparent"]

    async def test_pages_are_loaded(self, client: httpx.AsyncClient):
        """What could be read is in the list, with status 200; what could not is not."""
        answer = await client.post(
            "/openwebui/load", json={"urls": ["https://a.example/x", "https://a.example/gone"]}
        )

        assert answer.json() == [{"page_content": "# Tides", "metadata": {"source": "https://a.example/x"}}]


class TestPathKeys:
    """A key in the path, for clients that can be told an address and nothing else."""

    @pytest.mark.parametrize("path", ["/searxng/{}/search", "/searxng/{}", "/searxng//{}/search/"])
    async def test_it_opens_if_that_is_switched_on(self, path: str, caplog: pytest.LogCaptureFixture):
        """And is found nowhere: not in what is recorded, told or logged, of a success or a failure."""
        caplog.set_level(logging.DEBUG)
        keys = Keys()
        key, unable = (await keys.make()).raw, (await keys.make(scopes=("extract",))).raw
        async with served(keys=keys, path_keys=True) as (memory, client):
            address = "http://127.0.0.1:8000" + path
            good = await client.get(address.format(key), params={"q": "tides", "format": "json"})
            bad = [
                await client.get(address.format(unable), params={"q": "tides"}),
                await client.get(address.format(key), params={"q": "x"}),
                await client.delete(address.format(key)),
                await client.get(
                    address.format(key), params={"q": "tides"}, headers={"host": "evil.example"}
                ),
            ]
            memory.provider.failure = ZeroDivisionError("a bug")
            bad.append(await client.get(address.format(key), params={"q": "ebb"}))
            frames = repr(memory.journal.frames)

        assert good.status_code == 200
        assert [answer.status_code for answer in bad[:4]] == [403, 400, 405, 421]
        told = "".join(answer.text + repr(answer.headers) for answer in (good, *bad)) + frames
        logged = "".join(r.getMessage() for r in caplog.records if r.name.startswith("amos"))
        for secret in (key, unable, key.split("_")[3]):
            assert secret not in told
            assert secret not in logged
        assert "'/searxng/search'" in frames

    @pytest.mark.parametrize("headers", [{"authorization": "Bearer {}"}, {"x-api-key": "other"}])
    async def test_two_keys_open_nothing(self, headers: dict[str, str]):
        """Nobody can tell which of them is meant, unless they are the same one in two headers."""
        keys = Keys()
        key, other = (await keys.make()).raw, (await keys.make()).raw
        shown = {name: value.format(other) for name, value in headers.items()}
        async with served(keys=keys, path_keys=True) as (_, client):
            answer = await client.get(f"/searxng/{key}/search?q=tides", headers=shown)

        assert answer.status_code == 401

    async def test_it_does_not_by_default(self, client: httpx.AsyncClient):
        """The caller reads what to do, and that the key may have been logged on its way."""
        answer = await client.get("/searxng/amos_live_secret/search?q=tides")

        assert answer.status_code == 404
        assert "AMOS_PATH_KEYS" in sentence(answer)
        assert "secret" not in answer.text

    async def test_it_is_a_path_of_searxng_only(self):
        """No other dialect takes one."""
        async with served(path_keys=True) as (_, client):
            for path in ("/perplexity/k/search", "/openwebui/k/search", "/search/k"):
                assert (await client.post(path, json={"query": "tides"})).status_code == 404


class TestClients:
    """The requests of clients as their sources have them, read on 2026-11-30."""

    async def test_open_webui_s_engine_searxng(self, client: httpx.AsyncClient):
        """It asks for HTML in Accept and JSON in a parameter, and sorts what it gets by score."""
        answer = await client.get(
            "/searxng/search",
            params={
                "q": "tides",
                "format": "json",
                "pageno": 1,
                "safesearch": "1",
                "language": "en-US",
                "time_range": "",
                "categories": "",
                "theme": "simple",
                "image_proxy": 0,
            },
            headers={"Accept": "text/html", "Accept-Language": "en-US,en;q=0.5"},
        )

        found = sorted(answer.json()["results"], key=lambda one: one.get("score", 0), reverse=True)
        assert [(one["url"], one["title"], one["content"]) for one in found] == [
            ("https://almanac.example/tides", "tides", "High water 06:40.")
        ]

    async def test_langchain_s_searx_search_wrapper(self, client: httpx.AsyncClient):
        """It asks the address it was told, without /search, and reads engines and category of each result."""
        answer = await client.get("/searxng", params={"language": "en", "format": "json", "q": "tides"})

        (one,) = answer.json()["results"]
        assert answer.json()["answers"] == []
        assert (one["title"], one["url"], one["engines"], one["category"]) == (
            *("tides", "https://almanac.example/tides", ["scripted"], "general"),
        )

    async def test_open_webui_s_external_engine_and_loader(self, client: httpx.AsyncClient):
        """It reads lists."""
        found = (await client.post("/openwebui/search", json={"query": "tides", "count": 3})).json()
        pages = (await client.post("/openwebui/load", json={"urls": ["https://a.example/x"]})).json()

        assert [(one.get("link"), one.get("title"), one.get("snippet")) for one in found[:3]] == [
            ("https://almanac.example/tides", "tides", "High water 06:40.")
        ]
        assert [(one.get("page_content"), one.get("metadata")) for one in pages] == [
            ("# Tides", {"source": "https://a.example/x"})
        ]
