"""The simulated Jina behaves as the contract of the real one says."""

from __future__ import annotations

import httpx
import pytest

from tests.support.faults import Fault
from tests.support.jina_errors import ERRORS
from tests.support.jina_simulator import ANONYMOUS_PER_MINUTE, JinaSimulator

QUERY = "tide tables harbour"


@pytest.fixture
async def client():
    """A plain HTTP client that ignores the environment."""
    async with httpx.AsyncClient(trust_env=False, timeout=5) as plain:
        yield plain


@pytest.fixture
async def jina():
    """A simulated Jina."""
    async with JinaSimulator() as simulator:
        yield simulator


HEADERS = {"Authorization": f"Bearer {JinaSimulator.api_key}", "Accept": "application/json"}
NO_CONTENT = {**HEADERS, "X-Respond-With": "no-content"}


async def test_jina_search_needs_a_key(jina, client):
    """Without a key 40103, with an unknown one 40102; the reader is open without."""
    accept = {"Accept": "application/json"}
    without = await client.post(jina.search_url, json={"q": QUERY}, headers=accept)
    wrong = await client.post(
        jina.search_url, json={"q": QUERY}, headers={**accept, "Authorization": "Bearer x"}
    )
    read = await client.post(jina.reader_url, json={"url": "https://a.example"}, headers=accept)

    assert (without.status_code, without.json()["status"]) == (401, 40103)
    assert (wrong.status_code, wrong.json()["status"]) == (401, 40102)
    assert read.status_code == 200


async def test_jina_reader_is_limited_without_a_key(jina, client):
    """Strangers read twenty pages a minute, then wait."""
    for _ in range(ANONYMOUS_PER_MINUTE):
        await client.post(jina.reader_url, json={"url": "https://a.example"})
    refusal = await client.post(jina.reader_url, json={"url": "https://a.example"})

    assert refusal.status_code == 429
    assert refusal.json()["retryAfter"] == int(refusal.headers["retry-after"])


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("application/json", "application/json"),
        ("*/*", "text/plain; charset=utf-8"),
        ("application/json, text/plain, */*", "text/plain; charset=utf-8"),
        ("text/event-stream", "text/event-stream"),
    ],
)
async def test_jina_answers_text_unless_asked_for_json(jina, client, accept, content_type):
    """Whoever admits text gets text, on both hosts."""
    headers = {**HEADERS, "Accept": accept}
    found = await client.post(jina.search_url, json={"q": QUERY}, headers=headers)
    read = await client.post(jina.reader_url, json={"url": "https://a.example"}, headers=headers)

    assert found.headers["content-type"] == read.headers["content-type"] == content_type


async def test_jina_errors_are_a_line_for_who_takes_no_json(jina, client):
    """Without JSON the error is its readable message."""
    response = await client.post(jina.search_url, json={"q": QUERY}, headers={"Accept": "text/plain"})

    assert response.status_code == 401
    assert response.text.startswith("AuthenticationRequiredError: ")


@pytest.mark.parametrize(
    ("body", "path"), [({"num": 21}, "num"), ({"num": -1}, "num"), ({"gl": "germany"}, "gl")]
)
async def test_jina_refuses_bad_parameters(jina, client, body, path):
    """A value out of range is 400 and names the parameter; unknown ones are ignored."""
    refusal = await client.post(jina.search_url, json={"q": QUERY, **body}, headers=HEADERS)
    ignored = await client.post(jina.search_url, json={"q": QUERY, "tbs": "qdr:d"}, headers=HEADERS)

    assert (refusal.status_code, refusal.json()["status"], refusal.json()["path"]) == (400, 40001, path)
    assert ignored.status_code == 200


async def test_jina_answers_an_empty_query_with_help(jina, client):
    """Nothing asked is a 200 with an object in `data`; so is the index, which tells the balance."""
    empty = await client.post(jina.search_url, json={}, headers=HEADERS)
    index = await client.get(jina.reader_url, headers=HEADERS)

    assert isinstance(empty.json()["data"], dict)
    assert index.json()["data"]["balanceLeft"] == 10_000_000


@pytest.mark.parametrize(
    ("path", "kwargs"),
    [
        ("", {"json": {"q": "tides"}}),
        ("", {"params": {"q": "tides"}}),
        ("search", {"params": {"q": "tides"}}),
        ("tides", {}),
    ],
)
async def test_jina_search_is_asked_in_several_ways(jina, client, path, kwargs):
    """Body, query string and path mean the same."""
    method = "POST" if "json" in kwargs else "GET"
    response = await client.request(method, jina.search_url + path, headers=NO_CONTENT, **kwargs)

    assert "tides" in response.json()["data"][0]["title"]


async def test_jina_reads_a_path(jina, client):
    """The reader takes the URL in its path as well."""
    response = await client.get(f"{jina.reader_url}https://a.example/x", headers=HEADERS)

    assert response.json()["data"]["url"] == "https://a.example/x"


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({}, 10_000),
        ({"num": 1}, 10_000),
        ({"num": 11}, 20_000),
        ({"engine": "bing"}, 30_000),
        ({"type": "news", "engine": "bing"}, 50_000),
    ],
)
async def test_jina_charges_each_started_ten(jina, client, body, tokens):
    """Without content the price is fixed, told in body and header, and taken from the balance."""
    response = await client.post(jina.search_url, json={"q": QUERY, **body}, headers=NO_CONTENT)

    assert response.json()["meta"]["usage"]["tokens"] == tokens == int(response.headers["x-usage-tokens"])
    assert jina.balance == 10_000_000 - tokens
    assert {item["content"] for item in response.json()["data"]} == {""}


async def test_jina_ends_at_its_balance(client):
    """What the balance does not cover is refused."""
    async with JinaSimulator(balance=9_999) as simulator:
        response = await client.post(simulator.search_url, json={"q": QUERY}, headers=NO_CONTENT)

    assert (response.status_code, response.json()["status"]) == (402, 40203)


@pytest.mark.parametrize("number", sorted(ERRORS))
async def test_jina_errors_have_their_envelope(jina, client, number):
    """Each row of the error table can be had on demand."""
    status, name, _ = ERRORS[number]
    jina.script(Fault.status(status, number=number, retry_after=17 if status == 429 else None))

    response = await client.post(jina.search_url, json={"q": QUERY}, headers=HEADERS)

    envelope = response.json()
    assert (response.status_code, envelope["code"], envelope["status"], envelope["name"]) == (
        status,
        status,
        number,
        name,
    )
    assert envelope["data"] is None
    assert envelope["readableMessage"] == f"{name}: {envelope['message']}"
    assert envelope.get("retryAfter") == (17 if status == 429 else None)


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [(Fault.status(500, shape="raw"), 500, '{"code":500,"name":"Error"'), (Fault.status(524), 524, "<html>")],
)
async def test_jina_errors_have_their_other_forms(jina, client, fault, status, text):
    """A raw exception and the page of the edge can be had on demand."""
    jina.script(fault)

    response = await client.post(jina.search_url, json={"q": QUERY}, headers=HEADERS)

    assert response.status_code == status
    assert response.text.startswith(text)
