"""The kind `mcp` at a server that does what no library's server would: on the wire, in both eras."""

from __future__ import annotations

import asyncio
import logging
import time

import msgspec
import pytest

from orchestrator.errors import (
    ProviderProtocolError,
    ProviderQuotaExceeded,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
)
from orchestrator.events import FREE
from orchestrator.model import SearchRequest
from tests.support.calls import failure_of, make_call
from tests.support.faults import Fault
from tests.support.http_server import DeadPort
from tests.support.mcp_provider import mcp_provider
from tests.support.mcp_simulator import McpSimulator

SEARCH = SearchRequest(query="tide tables", max_results=3)
TEXT = {"content": [{"type": "text", "text": "{}"}]}


@pytest.fixture
async def simulator():
    """A server that does as it is told."""
    async with McpSimulator() as running:
        yield running


@pytest.fixture
async def provider(simulator):
    """The provider, pointed at it."""
    provider = mcp_provider(simulator.url)
    yield provider
    await provider.aclose()


async def test_a_modern_server_is_found_out_by_its_first_answer(provider, simulator):
    """One request tells the era and the tools; each says in headers and body what it is, and its trace."""
    call = msgspec.structs.replace(make_call(SEARCH, trace_id="a" * 32), span_id="b" * 16)
    await provider.search(call)
    await provider.search(call)

    assert simulator.methods() == ["tools/list", "tools/call", "tools/call"]
    sent = simulator.calls[1]
    meta = sent.json["params"]["_meta"]
    assert (sent.headers["mcp-method"], sent.headers["mcp-name"]) == ("tools/call", "find")
    assert sent.headers["mcp-protocol-version"] == "2026-07-28"
    assert meta["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
    assert meta["traceparent"] == sent.headers["traceparent"] == f"00-{'a' * 32}-{'b' * 16}-01"
    assert sent.json["params"]["arguments"] == {"query": "tide tables", "limit": 3}


async def test_a_server_of_the_handshake_era_gets_its_handshake(provider, simulator):
    """What refuses the revision without sessions is greeted, remembered, and taken leave of."""
    simulator.era = "handshake"
    simulator.version = "2025-06-18"

    await provider.search(make_call(SEARCH))
    await provider.search(make_call(SEARCH))
    session = simulator.calls[-1].headers["mcp-session-id"]
    await provider.aclose()

    handshake = ["tools/list", "initialize", "notifications/initialized", "tools/list"]
    assert simulator.methods() == [*handshake, "tools/call", "tools/call", "DELETE"]
    assert {call.headers.get("mcp-session-id") for call in simulator.calls[2:]} == {session}
    assert {call.headers["mcp-protocol-version"] for call in simulator.calls[2:]} == {"2025-06-18"}
    assert "mcp-protocol-version" not in simulator.calls[1].headers
    assert not simulator.sessions


@pytest.mark.parametrize(
    ("protocol", "methods"),
    [
        ("2026-07-28", ["tools/list", "tools/call"]),
        ("handshake", ["initialize", "notifications/initialized", "tools/list", "tools/call"]),
    ],
)
async def test_an_operator_may_name_the_era(simulator, protocol, methods):
    """Where the era is given, nothing is tried out."""
    provider = mcp_provider(simulator.url, protocol=protocol)

    await provider.search(make_call(SEARCH))

    assert simulator.methods() == methods
    await provider.aclose()


async def test_a_server_without_sessions_is_no_trouble(provider, simulator):
    """A handshake may end without a session; then none is named, and none is closed."""
    simulator.era, simulator.has_sessions = "handshake", False

    await provider.search(make_call(SEARCH))
    await provider.aclose()

    assert "mcp-session-id" not in simulator.calls[-1].headers
    assert "DELETE" not in simulator.methods()


async def test_a_forgotten_session_is_opened_again(provider, simulator):
    """A server that has forgotten us has done nothing: the call is made again, once, and succeeds."""
    simulator.era = "handshake"
    await provider.search(make_call(SEARCH))

    simulator.sessions.clear()
    found = await provider.search(make_call(SEARCH))

    assert len(found.answer.results) == 3
    assert simulator.methods().count("initialize") == 2
    assert simulator.methods()[-1] == "tools/call"


async def test_a_server_that_forgets_at_once_is_given_up(provider, simulator):
    """A session that does not last for one call is not opened a third time."""
    simulator.era = "handshake"
    simulator.when("tide", Fault.status(404))

    error = await failure_of(provider.search(make_call(SEARCH)))

    assert (type(error), error.reason, error.assumed) == (ProviderProtocolError, "http_404", FREE)
    assert simulator.methods().count("initialize") == 2


@pytest.mark.parametrize(("before", "after"), [("modern", "handshake"), ("handshake", "modern")])
async def test_a_server_may_change_its_era(provider, simulator, before, after):
    """An update of the server in between is noticed by the first call that it refuses."""
    simulator.era = before
    await provider.search(make_call(SEARCH))

    simulator.era = after
    simulator.sessions.clear()

    assert len((await provider.search(make_call(SEARCH))).answer.results) == 3


@pytest.mark.parametrize("era", ["modern", "handshake"])
async def test_an_answer_is_found_among_other_events(provider, simulator, era):
    """Progress, log lines, requests of the server and answers to others are passed over."""
    simulator.era, simulator.is_streaming = era, True
    simulator.before = [
        {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}},
        {"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage", "params": {}},
        {"jsonrpc": "2.0", "id": "other", "result": {"tools": []}},
    ]

    assert len((await provider.search(make_call(SEARCH))).answer.results) == 3


async def test_a_stream_that_is_not_ended_is_left(provider, simulator):
    """When the answer has come nobody waits for the end of its stream, and no task stays behind."""
    simulator.is_streaming = simulator.is_endless = True
    begun = time.monotonic()

    found = await provider.search(make_call(SEARCH))

    assert len(found.answer.results) == 3
    assert time.monotonic() - begun < 1
    # What is left is the simulator's: it serves two connections, and does not know yet that they are cut.
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert {task.get_coro().__qualname__ for task in left} <= {"_Connection._serve"}


async def test_a_stream_without_its_answer_is_cut_short(provider, simulator):
    """A stream that ends before the answer is a broken connection."""
    simulator.is_streaming = True
    await provider.search(make_call(SEARCH))
    events = Fault.body(": nothing to see\n\n", content_type="text/event-stream")
    simulator.when("tide", events)

    error = await failure_of(provider.search(make_call(SEARCH)))

    assert (type(error), error.reason, error.assumed) == (ProviderUnavailable, "truncated", None)


async def test_the_list_of_tools_may_have_pages(provider, simulator):
    """Our tool is looked for on every page, and no further."""
    simulator.tools = {f"tool_{n}": {} for n in range(5)} | simulator.tools | {"last": {}}
    simulator.tools_per_page = 2

    await provider.search(make_call(SEARCH))

    assert simulator.methods() == ["tools/list"] * 3 + ["tools/call"]


async def test_a_list_without_end_is_left(provider, simulator):
    """Only so many pages are read; then the tool is not there, and few names are told."""
    simulator.tools = {f"tool_{n}": {} for n in range(40)}
    simulator.tools_per_page = 1

    error = await failure_of(provider.search(make_call(SEARCH)))

    assert error.reason == "no_such_tool"
    assert simulator.count == 16
    assert "and 6 more" in error.message


async def test_a_misfit_is_told_once_in_the_log(simulator, caplog):
    """The operator finds the whole sentence in the log, not once a call."""
    provider = mcp_provider(simulator.url, "search_issues")

    with caplog.at_level(logging.WARNING, "amos.providers"):
        errors = [await failure_of(provider.search(make_call(SEARCH))) for _ in range(3)]

    assert [record.message for record in caplog.records] == [errors[0].message]
    assert "has no tool search_issues; it has find." in errors[0].message
    await provider.aclose()


async def test_a_tool_that_is_mended_serves_at_once(provider, simulator):
    """A tool that was missing is looked for at each call, so the operator need not start anything again."""
    described, simulator.tools = simulator.tools, {}
    assert (await failure_of(provider.search(make_call(SEARCH)))).reason == "no_such_tool"

    simulator.tools = described

    assert (await provider.search(make_call(SEARCH))).answer.results


@pytest.mark.parametrize(
    ("code", "status", "kind", "reason"),
    [
        (-32602, 200, ProviderRejected, "wrong_arguments"),
        (-32602, 400, ProviderRejected, "wrong_arguments"),
        (-32601, 404, ProviderProtocolError, "no_tools"),
        (-32603, 200, ProviderUnavailable, "rpc_internal"),
        (-32000, 200, ProviderProtocolError, "rpc_error"),
        (12, 200, ProviderProtocolError, "rpc_error"),
    ],
)
async def test_a_refusal_of_the_protocol_is_read_by_its_code(provider, simulator, code, status, kind, reason):
    """The code decides and never the words, and no refusal is taken for the caller's fault."""
    simulator.rpc_error, simulator.status = {"code": code, "message": "its own words"}, status

    error = await failure_of(provider.search(make_call(SEARCH)))

    assert (type(error), error.reason) == (kind, reason)
    assert "own words" not in error.message


STATUSES = [
    (400, ProviderProtocolError, "http_400"),
    (401, ProviderRejected, "key_refused"),
    (402, ProviderQuotaExceeded, "quota"),
    (403, ProviderRejected, "forbidden"),
    (404, ProviderProtocolError, "http_404"),
    (405, ProviderProtocolError, "http_405"),
    (429, ProviderThrottled, "throttled"),
    (500, ProviderUnavailable, "http_500"),
    (503, ProviderUnavailable, "http_503"),
    (202, ProviderProtocolError, "http_202"),
]


@pytest.mark.parametrize(("status", "kind", "reason"), STATUSES)
@pytest.mark.parametrize("is_known", [True, False], ids=["later", "first"])
async def test_a_status_decides(provider, simulator, status, kind, reason, is_known):
    """At the first contact and later, a status is one error of ours, and nothing was billed."""
    if is_known:
        await provider.search(make_call(SEARCH))
    simulator.always(Fault.status(status, text="its own words"))

    error = await failure_of(provider.search(make_call(SEARCH)))

    assert (type(error), error.reason, error.assumed) == (kind, reason, FREE)
    assert "own words" not in error.message


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(provider, simulator, status):
    """Our key would travel along; the operator is told to configure where it leads."""
    simulator.always(Fault.status(status))

    error = await failure_of(provider.search(make_call(SEARCH)))

    assert (type(error), error.reason) == (ProviderProtocolError, f"http_{status}")
    assert set(simulator.counts) == {"/mcp"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("not JSON", "bad_json"),
        ("", "bad_json"),
        ("[]", "bad_shape"),
        ("{}", "bad_shape"),
        ('{"jsonrpc": "2.0", "id": 2, "result": 7, "error": {"code": 1}}', "bad_shape"),
        ('{"jsonrpc": "2.0", "id": 99, "result": {}}', "wrong_id"),
        ('{"jsonrpc": "2.0", "id": 2, "result": []}', "bad_shape"),
        ('{"jsonrpc": "2.0", "id": 2, "result": {"content": 7}}', "bad_shape"),
        ('{"jsonrpc": "2.0", "id": 2, "result": ' + "[" * 100_000, "bad_json"),
    ],
)
async def test_a_wrong_body_breaks_the_contract(provider, simulator, body, reason):
    """An answer to a call that is none is an error of the provider."""
    simulator.when("tide", Fault.body(body))

    error = await failure_of(provider.search(make_call(SEARCH)))

    assert (type(error), error.reason) == (ProviderProtocolError, reason)


RESULTS = [
    ({"content": [], "resultType": "input_required"}, "input_required"),
    ({"content": [{"type": "image", "data": "x"}]}, "text_only"),
    ({"content": []}, "text_only"),
    ({"content": [{"type": "text", "text": None}]}, "text_only"),
    (TEXT, "no_results_list"),
    ({"content": [], "structuredContent": {"results": [1, 2]}}, "no_results_list"),
    ({"content": [], "structuredContent": {"rows": [{"url": "https://a.example"}]}}, "no_results_list"),
]


@pytest.mark.parametrize(("result", "reason"), RESULTS)
async def test_an_answer_without_results_is_refused(provider, simulator, result, reason):
    """What holds no list of results is no answer to a search."""
    simulator.result = result

    error = await failure_of(provider.search(make_call(SEARCH)))

    assert (type(error), error.reason) == (ProviderProtocolError, reason)


@pytest.mark.parametrize(
    ("fault", "kind", "reason"),
    [
        (Fault.reset(), ProviderUnavailable, "reset"),
        (Fault.close(), ProviderUnavailable, "reset"),
        (Fault.truncate(), ProviderUnavailable, "truncated"),
        (Fault.garbage(), ProviderProtocolError, "bad_http"),
    ],
)
async def test_a_call_that_breaks_is_not_repeated_by_itself(provider, simulator, fault, kind, reason):
    """A broken call may have been billed, so its price is assumed; whether to try again is for others."""
    simulator.when("tide", fault)

    error = await failure_of(provider.search(make_call(SEARCH)))

    assert (type(error), error.reason, error.assumed) == (kind, reason, None)
    assert simulator.methods() == ["tools/list", "tools/call"]


@pytest.mark.parametrize("fault", [Fault.hang(), Fault.drip(interval_s=0.05)])
async def test_who_is_cancelled_while_finding_out_holds_nobody_up(provider, simulator, fault):
    """The first call may give up on a server that hangs; the next one finds it out."""
    simulator.script(fault)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await provider.search(make_call(SEARCH))

    assert (await provider.search(make_call(SEARCH))).answer.results


async def test_nobody_there_is_unavailable():
    """A port nobody listens at is an unreachable provider, and closing it is no trouble."""
    with DeadPort() as dead:
        provider = mcp_provider(f"{dead.base_url}/mcp")
        error = await failure_of(provider.search(make_call(SEARCH)))
        await provider.aclose()
        await provider.aclose()

    assert (type(error), error.reason, error.assumed) == (ProviderUnavailable, "connect", FREE)


async def test_a_farewell_does_not_hold_up_the_end(provider, simulator):
    """A server that does not answer the end of its session is left after a second."""
    simulator.era = "handshake"
    await provider.search(make_call(SEARCH))
    simulator.always(Fault.hang())
    begun = time.monotonic()

    await provider.aclose()

    assert time.monotonic() - begun < 2


async def test_a_secret_goes_where_it_is_named(simulator):
    """A header and the URL may name a secret, which is sent and shown nowhere else."""
    simulator.token = "Bearer lin-secret"
    provider = mcp_provider(
        f"{simulator.url}?token={{secret:odd}}", headers={"Authorization": "Bearer {secret:linear}"}
    )

    await provider.search(make_call(SEARCH))
    simulator.token = "Bearer another"
    error = await failure_of(provider.search(make_call(SEARCH)))
    await provider.aclose()

    assert {call.query for call in simulator.calls} == {"token=a%26b%20c"}
    assert (type(error), error.reason) == (ProviderRejected, "key_refused")
    assert "lin-secret" not in error.message
