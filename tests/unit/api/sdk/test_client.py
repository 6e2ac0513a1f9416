"""Both clients, over a transport that answers by hand: what they send and what they make of the answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest

from amos_sdk import NO_RETRIES, AsyncClient, Client, InvalidRequest

Handler = Callable[[httpx.Request], httpx.Response]

ANSWER = {
    "query": "tide",
    "answer": None,
    "images": [],
    "results": [{"title": "T", "url": "https://a.example", "content": "c", "score": 1, "raw_content": None}],
    "response_time": 0.5,
    "request_id": "r",
    "amos": {
        "provider": "tavily",
        "cache": "l1",
        "age_s": 3,
        "stale": False,
        "degraded": False,
        "credits": 0,
        "cost_usd": 0,
        "attempts": [{"provider": "tavily", "outcome": "success", "reason": "", "duration_s": 0.1}],
        "unsupported": [],
        "notes": ["n"],
        "execution_id": "e",
        "a_field_of_tomorrow": 1,
    },
}

REPORT = {
    "since": 1796083200,
    "until": 1796086800.5,
    "tz": "UTC",
    "by": "provider",
    "rows": [{"hits": 3}],
    "hits": 3,
}

ACCOUNT = {
    "execution_id": "e",
    "explanation": {
        "status": "unsettled",
        "operation": "search",
        "client": "",
        "provider": "",
        "cache": "",
        "started_at": None,
        "duration_s": None,
        "gateway_s": None,
        "why": ["It began."],
    },
    "events": [{"seq": 1, "at": 1796083200.5, "event": {"type": "amos.cache.hit.v1", "tier": "l1"}}],
}


def ask(kind: str, handler: Handler, call, **options):
    """Make `call` with the client of this kind against the handler."""
    transport = httpx.MockTransport(handler)
    if kind == "sync":
        with Client("http://amos.example/gw/", transport=transport, **options) as client:
            return call(client)

    async def asked():
        async with AsyncClient("http://amos.example/gw/", transport=transport, **options) as client:
            return await call(client)

    return asyncio.run(asked())


both = pytest.mark.parametrize("kind", ["sync", "async"])


@both
def test_a_search_is_sent_as_the_server_wants_it(kind):
    """Only given options travel, wishes about the cache become the header, the key a bearer token."""
    seen = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=ANSWER)

    answer = ask(
        kind,
        handler,
        lambda amos: amos.search(
            "tide",
            max_results=3,
            include_domains=("a.example",),
            no_cache=True,
            max_age_s=60,
            stale_if_error_s=5,
            extra={"x": 1},
        ),
        api_key="amos_live_x",
    )

    (request,) = seen
    assert (request.method, str(request.url)) == ("POST", "http://amos.example/gw/search")
    assert json.loads(request.content) == {
        "x": 1,
        "query": "tide",
        "max_results": 3,
        "include_domains": ["a.example"],
    }
    assert request.headers["Cache-Control"] == "no-cache, max-age=60, stale-if-error=5"
    assert request.headers["Authorization"] == "Bearer amos_live_x"
    assert answer.results[0].title == "T"
    assert (answer.why.cache, answer.why.age_s, answer.why.notes) == ("l1", 3.0, ("n",))
    assert answer.raw["amos"]["a_field_of_tomorrow"] == 1


@both
def test_an_extract_takes_one_url_or_several(kind):
    """Pages and failures come apart; a lone URL is a list of one."""
    body = {
        "results": [{"url": "https://a.example", "raw_content": "text", "title": None}],
        "failed_results": [{"url": "https://b.example", "error": "gone"}],
        "response_time": 1,
        "request_id": "r",
        "amos": ANSWER["amos"],
    }

    def handler(request: httpx.Request) -> httpx.Response:
        assert json.loads(request.content) == {"urls": ["https://a.example"], "timeout": 5.0}
        return httpx.Response(200, json=body)

    answer = ask(kind, handler, lambda amos: amos.extract("https://a.example", timeout=5.0))

    assert [page.raw_content for page in answer.pages] == ["text"]
    assert [failure.error for failure in answer.failures] == ["gone"]


@both
def test_reports_and_executions_are_read(kind):
    """Parameters that are not given are not sent, and a name cannot leave its path."""
    paths = []

    def handler(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path.decode())
        return httpx.Response(200, json={**ACCOUNT, **REPORT})

    report = ask(kind, handler, lambda amos: amos.report("hit-rate", since="7d", by="provider", limit=5))
    account = ask(kind, handler, lambda amos: amos.execution("../health"))
    ask(kind, handler, lambda amos: amos.health())

    assert paths == [
        "/gw/reports/hit-rate?since=7d&by=provider&limit=5",
        "/gw/executions/..%2Fhealth",
        "/gw/health",
    ]
    assert (report.since, report.by, report.rows) == (
        datetime(2026, 12, 1, tzinfo=UTC),
        "provider",
        ({"hits": 3},),
    )
    assert report.figures["hits"] == 3
    assert (account.status, account.started_at, account.why) == ("unsettled", None, ("It began.",))
    assert (account.events[0].type, account.events[0].fields) == ("amos.cache.hit.v1", {"tier": "l1"})


@both
def test_a_throttled_call_is_made_again(kind):
    """The clients wait as long as the server asks and then get their answer."""
    answers = [httpx.Response(429, headers={"Retry-After": "0"}), httpx.Response(200, json=ANSWER)]

    answer = ask(kind, lambda _: answers.pop(0), lambda amos: amos.search("tide"))

    assert answer.request_id == "r"
    assert answers == []


@both
def test_retries_can_be_switched_off(kind):
    """With one attempt the first error is the answer."""
    with pytest.raises(InvalidRequest, match="No"):
        ask(
            kind,
            lambda _: httpx.Response(400, json={"detail": {"error": "No"}}),
            lambda amos: amos.search(""),
            retries=NO_RETRIES,
        )


@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "ftp://a.example"},
        {"base_url": "http://"},
        {"base_url": "http://a.example:port"},
        {"api_key": ""},
        {"api_key": "two words"},
        {"api_key": "line\r\nbreak"},
        {"api_key": "schlüssel"},
    ],
)
def test_what_cannot_work_is_refused_at_once(client, wrong):
    """An address or a key that can be none is told when the client is made, without repeating the key."""
    with pytest.raises(ValueError, match=r"base_url|api_key") as caught:
        client(**wrong)

    assert not wrong.get("api_key") or wrong["api_key"] not in str(caught.value)


async def test_a_cancelled_call_lets_go_of_its_exchange():
    """Cancellation passes through, and the client goes on working."""
    begun = asyncio.Event()

    async def handler(request: httpx.Request) -> httpx.Response:
        if not begun.is_set():
            begun.set()
            await asyncio.sleep(60)
        return httpx.Response(200, json=ANSWER)

    async with AsyncClient(transport=httpx.MockTransport(handler)) as amos:
        task = asyncio.create_task(amos.search("tide"))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert (await amos.search("tide")).request_id == "r"
