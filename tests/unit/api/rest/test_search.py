"""`/search` and `/extract` over HTTP: answers and failures with their reasons, bad input with its field."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from orchestrator import limits
from orchestrator.errors import ProviderQuotaExceeded
from tests.support.memory_gateway import MemoryGateway, unreachable

TRACE = "0af7651916cd43dd8448eb211c80319c"
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def sentence(answer: httpx.Response) -> str:
    """What a Tavily client shows to a person."""
    error: str = answer.json()["detail"]["error"]
    return error


class TestAnswers:
    """What a search or extract answers."""

    async def test_a_search_is_answered_with_its_reasons(self, client: httpx.AsyncClient):
        """Body and headers say what was found, by whom, how fast, and where to read on."""
        answer = await client.post("/search", json={"query": "tides", "include_usage": True})

        body = answer.json()
        assert answer.status_code == 200
        assert (body["query"], body["results"][0]["title"]) == ("tides", "tides")
        assert body["usage"] == {"credits": 1}
        assert body["amos"]["provider"] == "scripted"
        assert UUID7.fullmatch(body["amos"]["execution_id"])
        assert body["request_id"] == body["amos"]["execution_id"] == answer.headers["x-request-id"]
        assert answer.headers["cache-status"] == "amos-l1; fwd=uri-miss; stored"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-type"] == "application/json"
        assert re.fullmatch(r"total;dur=\d+\.\d{3}, upstream;dur=\d+\.\d{3}", answer.headers["server-timing"])
        assert "age" not in answer.headers

    async def test_a_repeated_search_comes_from_the_cache(
        self, client: httpx.AsyncClient, memory: MemoryGateway
    ):
        """The second answer is the first one's results, costs nothing and says its age."""
        first = (await client.post("/search", json={"query": "tides"})).json()
        answer = await client.post("/search", json={"query": "  TIDES "})

        second = answer.json()
        assert len(memory.provider.calls) == 1
        assert second["results"] == first["results"]
        assert second["query"] == "  TIDES "
        assert (second["amos"]["cache"], second["amos"]["credits"]) == ("l1", 0.0)
        assert re.fullmatch(r"amos-l1; hit; ttl=\d+", answer.headers["cache-status"])
        assert answer.headers["age"] == "0"

    @pytest.mark.parametrize("path", ["//search", "/search/", "/t/search", "/t//search"])
    async def test_carelessly_joined_paths_work(self, client: httpx.AsyncClient, path: str):
        """No client is redirected, whatever its base URL ends in."""
        answer = await client.post(f"http://127.0.0.1:8000{path}", json={"query": "tides"})

        assert answer.status_code == 200

    async def test_the_caller_s_trace_goes_on(self, client: httpx.AsyncClient):
        """A valid trace is continued under a span of ours, and its request id comes back."""
        headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "x-request-id": "mine-7"}

        answer = await client.post("/search", json={"query": "tides"}, headers=headers)

        version, trace_id, span_id, flags = answer.headers["traceparent"].split("-")
        assert (version, trace_id, flags) == ("00", TRACE, "01")
        assert span_id == answer.json()["request_id"].replace("-", "")[-16:]
        assert answer.headers["x-request-id"] == "mine-7"

    async def test_without_a_trace_the_execution_is_one(self, client: httpx.AsyncClient):
        """The trace id equals the execution id."""
        answer = await client.post("/search", json={"query": "tides"}, headers={"traceparent": "00-bad"})

        assert answer.headers["traceparent"].split("-")[1] == answer.json()["request_id"].replace("-", "")

    @pytest.mark.parametrize(
        ("directive", "status", "words"),
        [
            ("no-cache", 200, "fwd=request; stored"),
            ("no-store", 200, "fwd=request"),
            ("max-age=3600", 200, "hit"),
            ("only-if-cached", 200, "hit"),
        ],
    )
    async def test_callers_steer_the_cache(
        self, client: httpx.AsyncClient, directive: str, status: int, words: str
    ):
        """Request directives are obeyed, and the answer says how."""
        await client.post("/search", json={"query": "tides"})

        answer = await client.post("/search", json={"query": "tides"}, headers={"cache-control": directive})

        assert answer.status_code == status
        assert words in answer.headers["cache-status"]

    async def test_only_if_cached_may_fail(self, client: httpx.AsyncClient, memory: MemoryGateway):
        """Nothing cached is 504, and nobody was called."""
        answer = await client.post(
            "/search", json={"query": "tides"}, headers={"cache-control": "only-if-cached"}
        )

        assert answer.status_code == 504
        assert answer.json()["amos"]["code"] == "not_in_cache"
        assert memory.provider.calls == []

    async def test_an_extract_is_answered_page_by_page(self, client: httpx.AsyncClient):
        """What could be read and what could not are both told, with status 200."""
        urls = ["https://a.example/x", "https://a.example/gone"]

        answer = await client.post("/extract", json={"urls": urls, "timeout": 30})

        body = answer.json()
        assert answer.status_code == 200
        assert [page["url"] for page in body["results"]] == urls[:1]
        assert [page["url"] for page in body["failed_results"]] == urls[1:]
        assert body["request_id"] == body["amos"]["execution_id"]
        assert answer.headers["cache-control"] == "no-store"


class TestSafeMethods:
    """GET, HEAD, QUERY and OPTIONS."""

    async def test_people_may_write_a_link(self, client: httpx.AsyncClient):
        """GET with q answers what POST does, for the caller's own cache."""
        answer = await client.get("/search?q=tides&max_results=3")

        assert answer.json()["results"][0]["title"] == "tides"
        assert answer.headers["cache-control"] == "private, no-cache"
        assert answer.headers["etag"].startswith('W/"')
        assert answer.headers["accept-query"] == "application/json"

    @pytest.mark.parametrize("prefix", ["", '"other", '])
    async def test_what_the_client_has_is_not_sent_again(self, client: httpx.AsyncClient, prefix: str):
        """A matching ETag is 304 without a body, though the envelope would have differed."""
        etag = (await client.get("/search?q=tides")).headers["etag"]

        answer = await client.get("/search?q=tides", headers={"if-none-match": prefix + etag})
        other = await client.get("/search?q=waves", headers={"if-none-match": prefix + etag})

        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
        assert other.status_code == 200

    async def test_query_is_a_safe_post(self, client: httpx.AsyncClient):
        """QUERY takes POST's body and answers as GET does."""
        answer = await client.request("QUERY", "/search", json={"query": "tides"})

        assert answer.json()["query"] == "tides"
        assert "etag" in answer.headers

    async def test_head_is_get_without_a_body(self, client: httpx.AsyncClient):
        """HEAD tells the headers of GET."""
        answer = await client.head("/search?q=tides")

        assert (answer.status_code, answer.content) == (200, b"")
        assert int(answer.headers["content-length"]) > 0

    @pytest.mark.parametrize(
        ("path", "allowed"), [("/search", "GET, HEAD, OPTIONS, POST, QUERY"), ("/extract", "OPTIONS, POST")]
    )
    async def test_options_and_wrong_methods_say_what_is_offered(
        self, client: httpx.AsyncClient, path: str, allowed: str
    ):
        """OPTIONS lists the methods, any other is 405 with the same list, in Tavily's envelope."""
        assert (await client.options(path)).headers["allow"] == allowed
        answer = await client.put(path, json={})

        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
        assert allowed in sentence(answer)


class TestBadInput:
    """Each is a 4xx in Tavily's envelope that says which field and why, and no provider is called."""

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b"", "body is empty"),
            (b"{", "not valid JSON"),
            (b"[]", "must be a JSON object"),
            (b'{"query": "\xff"}', "UTF-8"),
            (b'{"query": "a\\ud800"}', "not valid Unicode"),
            (b'{"a":' * 50_000, "nested too deeply"),
            (b'{"query": "tides", "a": ' + b"[" * 200 + b"]" * 200 + b"}", "nested deeper"),
            (b"query=tides", "not valid JSON"),
        ],
    )
    @pytest.mark.parametrize("path", ["/search", "/extract"])
    async def test_a_body_that_is_no_request(
        self, client: httpx.AsyncClient, memory: MemoryGateway, path: str, body: bytes, words: str
    ):
        """A broken body is told apart from a broken field."""
        if words == "nested deeper" and path == "/extract":
            body = body.replace(b'"query": "tides"', b'"urls": "https://a.example"')
        answer = await client.post(path, content=body)

        assert answer.status_code == 400
        assert words in sentence(answer)
        assert memory.provider.calls == []

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({}, "query"),
            ({"query": ""}, "query"),
            ({"query": "x"}, "query"),
            ({"query": "x" * 401}, "query"),
            ({"query": 7}, "query"),
            ({"query": "\u0000\u202e\u200b"}, "query"),
            ({"query": "tides", "topic": "gossip"}, "topic"),
            ({"query": "tides", "search_depth": "deep"}, "search_depth"),
            ({"query": "tides", "max_results": -1}, "max_results"),
            ({"query": "tides", "max_results": "5"}, "max_results"),
            ({"query": "tides", "include_domains": ["a.example"] * 10_000}, "include_domains"),
            ({"query": "tides", "exclude_domains": ["a.example"] * 10_000}, "exclude_domains"),
        ],
    )
    async def test_a_bad_field_of_a_search(
        self, client: httpx.AsyncClient, memory: MemoryGateway, fields: dict[str, Any], field: str
    ):
        """The sentence begins with the field at fault."""
        answer = await client.post("/search", json=fields)

        assert answer.status_code == 400
        assert sentence(answer).startswith(f"{field}: ")
        assert memory.provider.calls == []

    @pytest.mark.parametrize(
        "urls",
        [
            None,
            "",
            [],
            5,
            {"a": 1},
            ["https://a.example"] * 21,
            "ftp://a.example",
            "a.example",
            ["http://", "x"],
        ],
    )
    async def test_bad_urls_of_an_extract(
        self, client: httpx.AsyncClient, memory: MemoryGateway, urls: object
    ):
        """Whatever is wrong with the URLs is said to be wrong with the URLs."""
        answer = await client.post("/extract", json={"urls": urls})

        assert answer.status_code == 400
        assert sentence(answer).startswith("urls")
        assert memory.provider.calls == []

    @pytest.mark.parametrize("query_string", ["", "?q=", "?max_results=3", "?q=%ff", "?q=x"])
    async def test_a_link_without_a_query(self, client: httpx.AsyncClient, query_string: str):
        """GET without a usable q is a fault like any other."""
        answer = await client.get(f"/search{query_string}")

        assert answer.status_code == 400
        assert sentence(answer)

    @pytest.mark.parametrize("wanted", [21, 1e9, 10**30])
    async def test_too_many_results_are_clamped_and_said_so(
        self, client: httpx.AsyncClient, memory: MemoryGateway, wanted: float
    ):
        """More than the most there is gets the most there is, with a note."""
        answer = await client.post("/search", json={"query": "tides", "max_results": wanted})

        assert answer.status_code == 200
        assert answer.json()["amos"]["notes"] == ["max_results was reduced to 20, the most there is."]
        (call,) = memory.provider.calls
        assert call.max_results == limits.RESULTS_MAX  # type: ignore[union-attr]

    async def test_unknown_fields_pass_through(self, client: httpx.AsyncClient, memory: MemoryGateway):
        """What we do not know is no error, and reaches the provider; the key does not."""
        answer = await client.post("/search", json={"query": "tides", "novelty": 1, "api_key": "tvly-1"})

        assert answer.status_code == 200
        assert memory.provider.calls[0].extra == {"novelty": 1}

    @pytest.mark.parametrize("declared", [True, False])
    async def test_a_body_that_is_too_large(
        self, client: httpx.AsyncClient, memory: MemoryGateway, *, declared: bool
    ):
        """The bound is on what arrives, whether its size was declared, left out or a lie."""

        async def parts() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield b" " * 100_000

        headers = {"content-length": "10"} if declared else {}
        answer = await client.post("/search", content=parts(), headers=headers)

        assert answer.status_code == 413
        assert str(limits.BODY_BYTES_MAX) in sentence(answer)
        assert memory.provider.calls == []

    async def test_a_body_at_the_bound_is_read(self, client: httpx.AsyncClient):
        """A client that pads is served up to the bound."""
        body = json.dumps({"query": "tides"}).encode()

        answer = await client.post("/search", content=body + b" " * (limits.BODY_BYTES_MAX - len(body)))

        assert answer.status_code == 200


class TestFailures:
    """What is told when there is no answer."""

    async def test_all_providers_failing_says_what_each_did(
        self, client: httpx.AsyncClient, memory: MemoryGateway
    ):
        """503 with every reason, a time to come back, and the execution to read on."""
        memory.provider.failure = unreachable()

        answer = await client.post("/search", json={"query": "tides"})

        amos = answer.json()["amos"]
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert {(a["provider"], a["reason"]) for a in amos["attempts"]} == {("scripted", "connect")}
        assert (await client.get(f"/executions/{amos['execution_id']}")).status_code == 200

    async def test_used_up_quotas_have_tavily_s_status(
        self, client: httpx.AsyncClient, memory: MemoryGateway
    ):
        """432 is what Tavily's clients take for a used-up plan."""
        memory.provider.failure = ProviderQuotaExceeded("Used up.", provider="scripted", reason="http_432")

        answer = await client.post("/search", json={"query": "tides"})

        assert (answer.status_code, answer.json()["amos"]["code"]) == (432, "quota_exhausted")

    async def test_an_unrecorded_answer_is_none(self, client: httpx.AsyncClient, memory: MemoryGateway):
        """When the facts cannot be kept the call is refused."""
        memory.journal.is_full = True

        answer = await client.post("/search", json={"query": "tides"})

        assert (answer.status_code, answer.json()["amos"]["code"]) == (503, "event_log_unavailable")

    @pytest.mark.parametrize("path", ["/search", "/extract"])
    async def test_a_stranger_is_told_what_to_do(
        self, client: httpx.AsyncClient, memory: MemoryGateway, path: str
    ):
        """A request through a proxy is 401, is not served, and leaves no execution."""
        body = {"query": "tides", "urls": ["https://a.example"]}

        answer = await client.post(path, json=body, headers={"x-forwarded-for": "1.2.3.4"})

        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert "proxy" in sentence(answer)
        assert answer.json()["amos"] == {"code": "unauthenticated"}
        assert memory.provider.calls == []
        assert memory.journal.frames == []

    async def test_a_key_of_the_local_operator_is_ignored(self, client: httpx.AsyncClient):
        """Client libraries insist on sending a key."""
        answer = await client.post(
            "/search", json={"query": "tides"}, headers={"authorization": "Bearer tvly-x"}
        )

        assert answer.status_code == 200
