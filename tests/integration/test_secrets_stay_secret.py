"""What must appear nowhere: keys of providers and callers, the pepper, and the text of queries.

Canaries are sent through every door and every way to fail; then everything that is written or answered is
searched for them.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from api.logs.formats import EcsFormat, TextFormat
from api.rest.problems import status_of
from orchestrator.api_keys import generate
from orchestrator.key_admin import KeyWish
from orchestrator.projections.fact_lines import fact_line
from orchestrator.projections.log_lines import Line, execution_line
from storage.codec import decode_events
from tests.support.faults import Fault
from tests.support.gateway_server import GatewayServer, serving
from tests.support.mcp_wire import LEGACY, MODERN, call

if TYPE_CHECKING:
    from tests.support.jina_simulator import JinaSimulator
    from tests.support.tavily_simulator import TavilySimulator
    from tests.support.valkey import Valkey

TAVILY_KEY = "tvly-canary-5f1d"
DRAINED_KEY = "tvly-canary-90c2"
JINA_KEY = "jina_canary_77ab"
PEPPER = "pepper-canary-0123456789-0123456789"
QUERY = "canaryquery zebra lighthouse"


def written(folder: Path) -> dict[str, bytes]:
    """Everything in the data folder, byte for byte."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def kept_in(valkey: Valkey) -> dict[str, bytes]:
    """Every key of Redis with its value, whatever its type."""
    with Redis(port=valkey.port) as redis:
        return {key.decode(): key + redis.dump(key) for key in redis.scan_iter()}


async def told(amos: GatewayServer, headers: dict[str, str]) -> dict[str, str]:
    """Everything the gateway tells about itself and about past calls."""
    paths = ["/health", "/readyz", "/livez", "/reports/health", "/reports/hit-rate", "/reports/latency"]
    paths += ["/keys", "/metrics", "/openapi.json", "/nothing"]
    streams = {frame["stream"] for frame in amos.frames()}
    paths += [f"/executions/{stream}" for stream in streams if ":" not in stream and len(stream) == 36]
    return {path: (await amos.client.get(path, headers=headers)).text for path in paths}


def lines_of(amos: GatewayServer) -> str:
    """The log lines of all that was recorded."""
    lines: list[Line | None] = []
    for frame in amos.frames():
        envelopes = decode_events(json.dumps(frame["events"]))
        lines.append(execution_line(frame["stream"], frame["instance"], envelopes, status_of, is_over=True))
        lines += [fact_line(frame["instance"], envelope) for envelope in envelopes]
    made = [form.line(line) for line in lines if line for form in (EcsFormat("host-1"), TextFormat())]
    assert len(made) > 20
    return b"".join(made).decode()


async def exercise(amos: GatewayServer, headers: dict[str, str]) -> list[str]:
    """Every kind of call with the query; the answers that must not repeat it (errors) or any key."""
    errors = []
    await amos.search(QUERY, headers)
    await amos.search(QUERY, headers)
    await amos.client.get("/search", params={"q": QUERY}, headers=headers)
    for version in (LEGACY, MODERN):
        mcp_headers, body = call(version, "web_search", {"query": QUERY})
        await amos.client.post("/mcp", content=body, headers={**mcp_headers, **headers})
        mcp_headers, body = call(version, "web_search", {"query": QUERY, "max_results": "many"})
        answer = await amos.client.post("/mcp", content=body, headers={**mcp_headers, **headers})
        errors.append(answer.text)
    key = headers["Authorization"].removeprefix("Bearer ")
    for path in (f"/searxng/{key}/search", f"/searxng/{key}", f"/searxng/{key}/x", f"/v1/search/{key}"):
        answer = await amos.client.get(path, params={"q": QUERY, "pageno": "x"})
        errors.append(answer.text)
    assert (await amos.client.get(f"/searxng/{key}/search", params={"q": QUERY})).status_code == 200
    assert (await amos.client.post(f"/v1/search/{key}", json={"query": QUERY}, headers=headers)).is_success
    wrong = {"Authorization": f"Bearer {generate()}"}
    refused: list[dict[str, Any]] = [
        {"json": {"query": QUERY}, "headers": wrong},
        {"json": {"query": QUERY, "max_results": "many"}, "headers": headers},
        {"json": {"query": QUERY, "topic": QUERY}, "headers": headers},
        {"content": json.dumps({"query": QUERY})[:-1], "headers": headers},
        {"json": {"query": QUERY * 40}, "headers": headers},
        {"json": {"query": QUERY}, "headers": {**headers, "Host": "evil.example"}},
    ]
    for request in refused:
        answer = await amos.client.post("/search", **request)
        assert answer.status_code >= 400
        errors.append(answer.text)
    errors.append((await amos.extract("https://a.example/" + QUERY.replace(" ", "-") * 90, headers)).text)
    return errors


@pytest.mark.parametrize("texts_kept", [True, False])
async def test_no_canary_is_found_anywhere(
    tmp_path: Path,
    tavily: TavilySimulator,
    jina: JinaSimulator,
    valkey: Valkey,
    caplog: pytest.LogCaptureFixture,
    texts_kept: bool,
) -> None:
    """No log line, file, table, Redis value, report, error or answer holds a key; queries have one table."""
    caplog.set_level(logging.WARNING)
    caplog.set_level(logging.DEBUG, logger="amos")  # as AMOS_LOG_LEVEL=debug does
    tavily.api_key, jina.api_key = f"{DRAINED_KEY},{TAVILY_KEY}", JINA_KEY
    tavily.keys, jina.keys = {TAVILY_KEY, DRAINED_KEY}, {JINA_KEY}
    tavily.for_key(DRAINED_KEY, Fault.status(432))
    options = {"redis_url": valkey.url, "key_pepper": PEPPER, "store_query_text": texts_kept}
    options["path_keys"] = True
    async with serving(tmp_path, tavily=tavily, jina=jina, **options) as amos:
        await amos.drain()
        assert amos.gateway.keys is not None
        made = await amos.gateway.keys.create(
            KeyWish(client="acme", scopes=("search", "extract", "refresh", "reports", "admin")), by="test"
        )
        headers = {"Authorization": f"Bearer {made.raw}"}

        errors = await exercise(amos, headers)
        for fault in (Fault.status(401), Fault.status(500), Fault.garbage(), Fault.reset()):
            tavily.always(fault)
            jina.always(fault)
            answer = await amos.search(QUERY, {**headers, "Cache-Control": "no-cache"})
            errors.append(answer.text)
        in_journal = written(tmp_path)
        await amos.drain()
        told_of = await told(amos, headers)
        shown = repr(amos.settings) + str(amos.settings.masked()) + repr(made)

    logged = caplog.text + lines_of(amos)
    keys = [TAVILY_KEY, DRAINED_KEY, JINA_KEY, PEPPER, made.raw, made.raw.split("_")[3]]
    everywhere = {**in_journal, **written(tmp_path), **kept_in(valkey)}
    everywhere |= {path: text.encode() for path, text in told_of.items()}
    everywhere |= {"log": logged.encode(), "shown": shown.encode(), "errors": "".join(errors).encode()}
    found = [(place, key) for place, text in everywhere.items() for key in keys if key.encode() in text]
    assert found == []
    # An answer may quote its query, as the simulated ones do, so answers in Redis may hold it.
    may_hold_texts = ("amos:cache:", "amos:flight:", *(("amos.db", "journal") if texts_kept else ()))
    found_queries = [
        place
        for place, text in everywhere.items()
        if b"canaryquery" in text.lower() and not place.startswith(may_hold_texts)
    ]
    assert found_queries == []
    frames = json.dumps(amos.frames())
    assert "canaryquery" not in frames.lower()
    assert [event["key_number"] for event in amos.events("provider:tavily")][:1] == [1]
    assert len(amos.frames()) > 10, "there was something to search"
