"""Whatever is sent, the caller learns what is wrong with it; nobody is asked, and nothing inside shows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.support.gateway_server import GatewayServer, serving
from tests.support.jina_simulator import JinaSimulator
from tests.support.refusals import refused
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

INVISIBLE = "\u200b\u202e\ufeff\u2066\u00ad\u0000\u0007"

BAD_SEARCHES: dict[str, tuple[dict[str, Any], str, str]] = {
    "null query": ({"query": None}, "query", "missing"),
    "empty query": ({"query": ""}, "query", "missing"),
    "blank query": ({"query": " \t\n\u3000"}, "query", "missing"),
    "invisible query": ({"query": INVISIBLE}, "query", "missing"),
    "1 character": ({"query": "x"}, "query", "too short"),
    "1 visible character": ({"query": f"x{INVISIBLE}"}, "query", "too short"),
    "401 characters": ({"query": "x" * 401}, "query", "too long"),
    "number as query": ({"query": 7}, "query", "expected a string"),
    "list as query": ({"query": ["tide"]}, "query", "expected a string"),
    "object as query": ({"query": {"text": "tide"}}, "query", "expected a string"),
    "unknown depth": ({"search_depth": "deep"}, "search_depth", "'basic', 'advanced'"),
    "unknown topic": ({"topic": "sports"}, "topic", "'general', 'news', 'finance'"),
    "unknown time_range": ({"time_range": "decade"}, "time_range", "'day', 'week'"),
    "unknown include_answer": ({"include_answer": "long"}, "include_answer", "true, false"),
    "unknown include_raw_content": ({"include_raw_content": "pdf"}, "include_raw_content", "'markdown'"),
    "unknown include_domains_mode": ({"include_domains_mode": "never"}, "include_domains_mode", "'restrict'"),
    "unknown country": ({"country": "atlantis"}, "country", "country names"),
    "negative max_results": ({"max_results": -1}, "max_results", "0 or more"),
    "text as max_results": ({"max_results": "5"}, "max_results", "expected an integer"),
    "decimal max_results": ({"max_results": 2.5}, "max_results", "expected an integer"),
    "true as max_results": ({"max_results": True}, "max_results", "expected an integer"),
    "0 chunks": ({"chunks_per_source": 0}, "chunks_per_source", "1 or more"),
    "negative days": ({"days": -3}, "days", "1 or more"),
    "bad date": ({"start_date": "11/12/2026"}, "start_date", "YYYY-MM-DD"),
    "no such date": ({"end_date": "2026-02-30"}, "end_date", "YYYY-MM-DD"),
    "dates in the wrong order": (
        {"start_date": "2026-02-03", "end_date": "2026-02-01"},
        "start_date",
        "after end_date",
    ),
    "two windows": ({"time_range": "day", "start_date": "2026-01-01"}, "time_range", "cannot be set"),
    "10,000 domains": (
        {"include_domains": [f"site{n}.example" for n in range(10_000)]},
        "include_domains",
        "Max 300",
    ),
    "151 excluded": (
        {"exclude_domains": [f"site{n}.example" for n in range(151)]},
        "exclude_domains",
        "Max 150",
    ),
    "text as domains": ({"include_domains": "almanac.example"}, "include_domains", "expected a list"),
    "number among domains": ({"include_domains": ["a.example", 7]}, "include_domains[1]", "a string"),
    "no domain": ({"exclude_domains": ["a b"]}, "exclude_domains[0]", "domain"),
    "text as flag": ({"include_images": "yes"}, "include_images", "expected true or false"),
    "number as api_key": ({"api_key": 5}, "api_key", "expected a string"),
    "text as include_usage": ({"include_usage": "yes"}, "include_usage", "expected true or false"),
    "deep unknown field": ({"x": json.loads("[" * 40 + "]" * 40)}, "", "nested deeper"),
    "many unknown fields": ({f"field{n}": n for n in range(40)}, "", "unknown fields"),
    "large unknown field": ({"x": "y" * 9000}, "", "too large"),
}
"""Fields of a search beside or in place of a good query, the one that is named, and words of the reason."""

BAD_BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "body is empty"),
    "not JSON": (b"query=tide", "not valid JSON"),
    "cut JSON": (b'{"query": "tide', "not valid JSON"),
    "two values": (b'{"query": "tide"} {}', "not valid JSON"),
    "NaN": (b'{"query": "tide", "days": NaN}', "not valid JSON"),
    "a list": (b'["tide"]', "must be a JSON object"),
    "a string": (b'"tide"', "must be a JSON object"),
    "null": (b"null", "must be a JSON object"),
    "invalid UTF-8": (b'{"query": "caf\xe9 \xff\xfe"}', "UTF-8"),
    "UTF-16": ('{"query": "tide"}'.encode("utf-16"), ""),
    "a lone surrogate": (b'{"query": "tide \\ud800"}', "not valid Unicode"),
    "a raw NUL": (b'{"query": "ti\x00de"}', "not valid JSON"),
    "deep lists": (b"[" * 200_000, "nested too deeply"),
    "deep objects": (b'{"a":' * 100_000, "nested too deeply"),
    "a number out of range": (b'{"query":"tide","days":1e999}', "out of range"),
    "an endless number": (b'{"query":"tide","days":1' + b"0" * 5000 + b"}", "out of range"),
    "a deep value": (b'{"query":"tide","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
}
"""Bodies that are no request, and words of the reason."""

BAD_EXTRACTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "no urls": ({}, "urls", "missing"),
    "null": ({"urls": None}, "urls", "missing"),
    "empty list": ({"urls": []}, "urls", "at least one"),
    "empty string": ({"urls": ""}, "urls[0]", "http"),
    "number": ({"urls": 7}, "urls", "string or a list"),
    "object": ({"urls": {"a": 1}}, "urls", "string or a list"),
    "number among them": ({"urls": ["https://a.example/", 7]}, "urls[1]", "a string"),
    "21 of them": ({"urls": [f"https://a.example/{n}" for n in range(21)]}, "urls", "Max 20"),
    "ftp": ({"urls": ["ftp://a.example/x"]}, "urls[0]", "http or https"),
    "file": ({"urls": "file:///etc/passwd"}, "urls[0]", "http or https"),
    "javascript": ({"urls": "javascript:alert(1)"}, "urls[0]", "http or https"),
    "no host": ({"urls": "https:///x"}, "urls[0]", "http or https"),
    "words": ({"urls": "tide tables"}, "urls[0]", "http or https"),
    "line end": ({"urls": "https://a.example/\r\nHost: b"}, "urls[0]", "http or https"),
    "loopback": ({"urls": "http://127.0.0.1:8000/health"}, "urls[0]", "public internet"),
    "private": ({"urls": "http://10.0.0.1/"}, "urls[0]", "public internet"),
    "metadata": ({"urls": "http://169.254.169.254/latest"}, "urls[0]", "public internet"),
    "IPv6 loopback": ({"urls": "http://[::1]/"}, "urls[0]", "public internet"),
    "localhost": ({"urls": "http://localhost/"}, "urls[0]", "public internet"),
    "password": ({"urls": "https://me:secret@a.example/"}, "urls[0]", "password"),
    "long": ({"urls": "https://a.example/" + "x" * 3000}, "urls[0]", "longer than"),
    "bad port": ({"urls": "https://a.example:99999999/"}, "urls[0]", "http or https"),
    "unknown depth": ({"urls": "https://a.example/", "extract_depth": "deep"}, "extract_depth", "'basic'"),
    "unknown format": ({"urls": "https://a.example/", "format": "pdf"}, "format", "'markdown'"),
    "negative timeout": ({"urls": "https://a.example/", "timeout": -1}, "timeout", "1 or more seconds"),
    "text as timeout": ({"urls": "https://a.example/", "timeout": "30"}, "timeout", "a number"),
}
"""Bodies of an extract, the field that is named, and words of the reason."""

BAD_GETS = {
    "no q": ("", "q", "missing"),
    "other parameters only": ("?max_results=3", "q", "missing"),
    "empty q": ("?q=", "query", "missing"),
    "1 character": ("?q=x", "query", "too short"),
    "negative max_results": ("?q=tide&max_results=-1", "max_results", "0 or more"),
    "words as max_results": ("?q=tide&max_results=many", "max_results", "expected an integer"),
    "a thousand digits": (f"?q=tide&max_results={'9' * 1000}", "max_results", "expected an integer"),
    "unknown topic": ("?q=tide&topic=sports", "topic", "'general'"),
    "invalid UTF-8": ("?q=caf%E9%FF", "", "UTF-8"),
    "500 parameters": ("?q=tide" + "&x=1" * 500, "", "more than 400 parameters"),
}
"""Query strings of a GET, the field that is named, and words of the reason."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tavily() -> AsyncIterator[TavilySimulator]:
    """Tavily, simulated."""
    async with TavilySimulator() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def jina() -> AsyncIterator[JinaSimulator]:
    """Jina, simulated."""
    async with JinaSimulator() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    tmp_path_factory: pytest.TempPathFactory, tavily: TavilySimulator, jina: JinaSimulator
) -> AsyncIterator[GatewayServer]:
    """One gateway for all of this file: no test leaves anything behind in it but cached answers."""
    async with serving(tmp_path_factory.mktemp("var"), tavily=tavily, jina=jina) as running:
        yield running


@pytest.fixture
def amos(shared: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator) -> GatewayServer:
    """The gateway, with simulators that have forgotten every call."""
    tavily.clear()
    jina.clear()
    return shared


@pytest.mark.parametrize(("fields", "named", "reason"), BAD_SEARCHES.values(), ids=BAD_SEARCHES)
async def test_a_bad_search_is_refused(
    amos: GatewayServer,
    tavily: TavilySimulator,
    jina: JinaSimulator,
    fields: dict[str, Any],
    named: str,
    reason: str,
):
    """A search no provider should see is a 400 that names the field and the reason, and nobody is asked."""
    body = {"query": "tide tables", **fields}
    sentence = refused(await amos.client.post("/search", json=body), 400, reason)

    assert sentence.startswith(f"{named}: " if named else "")
    assert (tavily.count, jina.count) == (0, 0)


@pytest.mark.parametrize(("body", "reason"), BAD_BODIES.values(), ids=BAD_BODIES)
@pytest.mark.parametrize("path", ["/search", "/extract"])
async def test_a_body_that_is_no_request_is_refused(
    amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator, path: str, body: bytes, reason: str
):
    """Bytes that are no JSON object are a 400 that says so, whatever they are."""
    refused(await amos.client.post(path, content=body), 400, reason)

    assert (tavily.count, jina.count) == (0, 0)


async def test_a_search_without_a_query_is_refused(amos: GatewayServer, tavily: TavilySimulator):
    """The one field that must be there is named when it is not."""
    refused(await amos.client.post("/search", json={"max_results": 3}), 400, "query: Query is missing")

    assert tavily.count == 0


@pytest.mark.parametrize(("query", "named", "reason"), BAD_GETS.values(), ids=BAD_GETS)
async def test_a_bad_get_is_refused(
    amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator, query: str, named: str, reason: str
):
    """A search in a URL is refused by the same rules."""
    sentence = refused(await amos.client.get(f"/search{query}"), 400, reason)

    assert sentence.startswith(f"{named}: " if named else "")
    assert (tavily.count, jina.count) == (0, 0)


@pytest.mark.parametrize(("fields", "named", "reason"), BAD_EXTRACTS.values(), ids=BAD_EXTRACTS)
async def test_a_bad_extract_is_refused(
    amos: GatewayServer,
    tavily: TavilySimulator,
    jina: JinaSimulator,
    fields: dict[str, Any],
    named: str,
    reason: str,
):
    """An extract no provider should see is a 400 that names the field and the reason, and nobody is asked."""
    sentence = refused(await amos.client.post("/extract", json=fields), 400, reason)

    assert sentence.startswith(f"{named}: ")
    assert "secret" not in sentence
    assert (tavily.count, jina.count) == (0, 0)


async def test_too_many_results_are_clamped_and_said_so(amos: GatewayServer, tavily: TavilySimulator):
    """A billion results are twenty, and a note says so; a whole decimal is the integer it is."""
    for number, most in enumerate((b"1e9", b"1000000000", b"21", b"1" + b"0" * 30)):
        body = b'{"query": "tide tables %d", "max_results": %b}' % (number, most)
        response = await amos.client.post("/search", content=body)
        assert response.status_code == 200
        assert len(response.json()["results"]) == 20
        assert response.json()["amos"]["notes"] == ["max_results was reduced to 20, the most there is."]
    whole = (await amos.search("tide gauges", max_results=7.0)).json()

    assert len(whole["results"]) == 7
    assert whole["amos"]["notes"] == []
    assert [call.json["max_results"] for call in tavily.calls] == [20, 20, 20, 20, 7]


async def test_characters_nobody_sees_are_removed(amos: GatewayServer, tavily: TavilySimulator):
    """NULs, bidi and invisible characters reach no provider; line ends become blanks."""
    response = await amos.search(f"ti{INVISIBLE}de\ntables\u202d here")

    assert response.status_code == 200
    assert tavily.calls[0].json["query"] == "tide tables here"


async def test_of_a_repeated_key_the_last_counts(amos: GatewayServer, tavily: TavilySimulator):
    """Duplicate keys are no error: the last value wins, as in every JSON library Tavily's clients use."""
    body = b'{"query": "first query", "query": "last query", "max_results": 1, "max_results": 2}'
    response = await amos.client.post("/search", content=body)

    assert response.json()["query"] == "last query"
    assert (tavily.calls[0].json["query"], tavily.calls[0].json["max_results"]) == ("last query", 2)


async def test_unknown_fields_pass_through(amos: GatewayServer, tavily: TavilySimulator):
    """What we do not know goes to Tavily as it is, nested or not, and makes it another question."""
    unknown = {"brand_new": {"deep": [1, "two", None, True]}, "fetch_timeout": 2.5, "nothing": None}
    first = await amos.search("passing through", **unknown)
    again = await amos.search("Passing  Through", **unknown)
    other = await amos.search("passing through", **{**unknown, "fetch_timeout": 3})

    caches = [response.json()["amos"]["cache"] for response in (first, again, other)]
    sent = tavily.calls[0].json
    assert caches == ["miss", "l1", "miss"]
    assert {name: sent[name] for name in ("brand_new", "fetch_timeout")} == {
        "brand_new": {"deep": [1, "two", None, True]},
        "fetch_timeout": 2.5,
    }
    assert "nothing" not in sent


async def test_any_content_type_is_json(amos: GatewayServer):
    """What `curl -d` declares as a form is read as the JSON it is."""
    for content_type in (
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/json; charset=utf-8",
    ):
        response = await amos.client.post(
            "/search", content=b'{"query":"tide tables"}', headers={"Content-Type": content_type}
        )
        assert response.status_code == 200
