"""What keeps a client from waiting or reading for ever, and what it tells apart: options, routes, lines."""

from __future__ import annotations

import asyncio
import gzip
import time

import httpx
import pytest

from amos_sdk import (
    NO_RETRIES,
    AsyncClient,
    Client,
    Conflict,
    Refused,
    RetryPolicy,
    TimedOut,
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
    driver,
)
from tests.support.ports import free_port

URL = "http://amos.example/gw"


class Trickle(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body of which a byte comes every 20 ms, so that no single read is late."""

    def __iter__(self):
        for _ in range(500):
            time.sleep(0.02)
            yield b" "

    async def __aiter__(self):
        for _ in range(500):
            await asyncio.sleep(0.02)
            yield b" "


def ask(kind: str, handler, call, **options):
    """Make `call` with the client of this kind against the handler; an iterator of lines is read."""
    transport = httpx.MockTransport(handler)
    if kind == "sync":
        with Client(URL, transport=transport, **options) as client:
            found = call(client)
            return list(found) if hasattr(found, "__next__") else found

    async def asked():
        async with AsyncClient(URL, transport=transport, **options) as client:
            found = call(client)
            return [line async for line in found] if hasattr(found, "__anext__") else await found

    return asyncio.run(asked())


both = pytest.mark.parametrize("kind", ["sync", "async"])


@both
def test_a_call_ends_in_its_time_however_slowly_it_is_answered(kind):
    """`timeout_s` bounds the whole answer, not the wait for its next byte."""
    begun = time.monotonic()

    with pytest.raises(TimedOut):
        ask(kind, lambda _: httpx.Response(200, stream=Trickle()), lambda amos: amos.health(), timeout_s=0.2)

    assert time.monotonic() - begun < 5


@both
def test_retries_end_in_the_time_of_the_call(kind):
    """A server that never serves is left when the time is over, with its error or that of time."""
    begun = time.monotonic()
    endless = RetryPolicy(attempts_max=1_000, backoff_base_s=0.05, backoff_cap_s=0.05)

    with pytest.raises((Unavailable, TimedOut)):
        ask(
            kind,
            lambda _: httpx.Response(503),
            lambda amos: amos.search("tide"),
            timeout_s=0.2,
            retries=endless,
        )

    assert time.monotonic() - begun < 5


@both
def test_an_endless_answer_is_not_read_to_its_end(kind, monkeypatch):
    """What is longer than any answer of AMOS comes from something else."""
    monkeypatch.setattr(driver, "ANSWER_BYTES_MAX", 10)

    with pytest.raises(UnexpectedAnswer, match="longer than 10 bytes"):
        ask(kind, lambda _: httpx.Response(200, text="x" * 11), lambda amos: amos.health())


@both
def test_a_compressed_answer_is_read(kind):
    """The headers of the transfer are gone with the transfer; those of the answer are kept."""
    body = gzip.compress(b'{"status": "ok"}')
    answer = httpx.Response(200, content=body, headers={"Content-Encoding": "gzip"})

    assert ask(kind, lambda _: answer, lambda amos: amos.health()) == {"status": "ok"}


@both
def test_options_of_a_part_of_a_program(kind):
    """`with_options` changes its own copy, on the same connections; nothing given changes nothing."""
    asked = []

    def handler(_: httpx.Request) -> httpx.Response:
        asked.append(1)
        return httpx.Response(503, headers={"Retry-After": "0"})

    for options, times in (({"retries": NO_RETRIES}, 1), ({}, 3), ({"timeout_s": 9.0}, 3)):
        asked.clear()
        with pytest.raises(Unavailable):
            ask(kind, handler, lambda amos, options=options: amos.with_options(**options).search("tide"))
        assert len(asked) == times


@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize("wrong", [0, -1.0, float("inf"), float("nan")])
def test_a_time_that_is_none_is_refused(client, wrong):
    """Every wait has an end, and one that can be kept."""
    with pytest.raises(ValueError, match="timeout_s"):
        client(timeout_s=wrong)
    with pytest.raises(ValueError, match="timeout_s"):
        client().with_options(timeout_s=wrong)


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_the_environment_is_read_only_when_it_is_asked_for(client, monkeypatch):
    """A key of the environment goes to the address of the environment, never to one in a program."""
    monkeypatch.setenv("AMOS_URL", "https://amos.example/gw")
    monkeypatch.setenv("AMOS_KEY", "amos_live_x")

    told, made = client.from_environment(timeout_s=3.0), client("http://other.example")
    monkeypatch.setenv("AMOS_URL", "")
    monkeypatch.delenv("AMOS_KEY")
    bare = client.from_environment()

    assert (told.base_url, told._http.headers["Authorization"]) == (
        "https://amos.example/gw",
        "Bearer amos_live_x",
    )
    assert "Authorization" not in made._http.headers
    assert (bare.base_url, "Authorization" in bare._http.headers) == ("http://127.0.0.1:8000", False)


@both
@pytest.mark.parametrize("path", ["http://evil.example/keys", "https://evil.example", "keys\0"])
def test_the_key_goes_nowhere_else(kind, path):
    """A path with an address of its own, or that is none, is refused before anything is sent."""
    with pytest.raises(ValueError, match=r"^path "):
        ask(kind, lambda _: httpx.Response(200, json={}), lambda amos: amos.request("GET", path))


@both
@pytest.mark.parametrize("wrong", ["half \ud800", {1, 2}, object()])
def test_what_cannot_be_sent_is_refused(kind, wrong):
    """A mistake of the program is told as one, and nothing is sent."""
    sent = []

    with pytest.raises((ValueError, TypeError)):
        ask(kind, sent.append, lambda amos: amos.search("tide", extra={"x": wrong}))

    assert sent == []


@both
def test_any_route_answers_as_it_came(kind):
    """The bytes of a route without a method of its own are not touched; only an object is an answer."""
    content = b'{"keys":  [1.0]}'

    assert (
        ask(kind, lambda _: httpx.Response(200, content=content), lambda amos: amos.request("GET", "keys"))
        == content
    )
    with pytest.raises(UnexpectedAnswer):
        ask(kind, lambda _: httpx.Response(200, content=b"[]"), lambda amos: amos.request("GET", "keys"))


@both
def test_usage_is_told_in_credits_and_dollars(kind):
    """The shape is Tavily's with our member beside it; a limit that is none is None."""
    spent = {f"{name}_usage": 0 for name in ("extract", "crawl", "map", "research")}
    body = {
        "key": {"usage": 3, "limit": None, "search_usage": 3, **spent},
        "account": {"current_plan": "AMOS"},
        "amos": {"client": "acme", "spent_usd": 0.024, "limit_usd_per_day": None, "limit_usd_per_month": 5.0},
    }

    used = ask(kind, lambda _: httpx.Response(200, json=body), lambda amos: amos.usage())

    assert (used.client, used.credits, used.credits_limit) == ("acme", 3, None)
    assert used.by_operation == {"search": 3, "extract": 0, "crawl": 0, "map": 0, "research": 0}
    assert (used.spent_usd, used.limit_usd_per_day, used.limit_usd_per_month) == (0.024, None, 5.0)
    assert used.raw["account"]["current_plan"] == "AMOS"


@both
def test_progress_comes_line_by_line(kind):
    """Each line is an object; one that says why the work broke off is its error, and so is a status."""

    def told(answer: httpx.Response):
        return ask(kind, lambda _: answer, lambda amos: amos.lines("POST", "cache/warm", body={"top": 1}))

    assert told(httpx.Response(200, content=b'{"of": 1}\n{"finished": {}}\n')) == [
        {"of": 1},
        {"finished": {}},
    ]
    with pytest.raises(Refused, match="Out of money") as broken:
        told(
            httpx.Response(200, content=b'{"of": 1}\n{"error": {"code": "c", "message": "Out of money."}}\n')
        )
    with pytest.raises(Conflict):
        told(httpx.Response(409, json={"detail": "Under way.", "code": "cannot_warm"}))
    for wrong in (b"<html>", b"[]", b"7"):
        with pytest.raises(UnexpectedAnswer):
            told(httpx.Response(200, content=wrong))
    assert broken.value.code == "c"


def test_lines_of_nobody_are_an_error_of_the_tree():
    """Where nothing listens, reading lines fails as every call does."""
    with Client(f"http://127.0.0.1:{free_port()}") as amos, pytest.raises(Unreachable):
        list(amos.lines("POST", "cache/warm"))
