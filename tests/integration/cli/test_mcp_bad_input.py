"""Whatever arrives on the input of `amos mcp`, there is a clear answer, and what was asked is answered."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.processes import until
from tests.support.simulator import Fault

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine, InThisProcess
    from tests.support.tavily_simulator import TavilySimulator

END_S = 40.0
LEGACY = "2025-11-25"
INFO = {"name": "test", "version": "1"}
HELLO = {
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": INFO},
}
READY = {"method": "notifications/initialized"}


@pytest.fixture
def amos(amos: InThisProcess) -> CommandLine:
    """The command line with a process for each command."""
    return amos.apart


def line(message: dict[str, Any] | bytes) -> bytes:
    """A message as a line; bytes as they are."""
    raw = message if isinstance(message, bytes) else json.dumps({"jsonrpc": "2.0", **message}).encode()
    return raw + b"\n"


def call(number: Any, query: Any, tool: str = "web_search") -> dict[str, Any]:
    """A call of a tool."""
    return {"id": number, "method": "tools/call", "params": {"name": tool, "arguments": {"query": query}}}


def parameter(value: bytes) -> bytes:
    """A request whose parameter is this JSON, which may be none."""
    return b'{"jsonrpc":"2.0","id":6,"method":"ping","params":{"a":' + value + b"}}"


async def started(amos: CommandLine, output: int = subprocess.PIPE) -> asyncio.subprocess.Process:
    """The command, as a client starts it, writing to this pipe."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api.cli", "mcp"),
        cwd=amos.folder,
        env=amos.whole_environment,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.PIPE,
    )


async def told(
    amos: CommandLine, *messages: dict[str, Any] | bytes, ends: bytes = b""
) -> list[dict[str, Any]]:
    """What it answers to these lines and the end of input; it ends well and complains of nothing."""
    process = await started(amos)
    async with asyncio.timeout(END_S):
        output, complaints = await process.communicate(b"".join(map(line, messages)) + ends)

    assert (process.returncode, complaints) == (0, b"")
    return [json.loads(answer) for answer in output.splitlines()]


async def test_what_is_no_request_is_answered(amos: CommandLine, web: TavilySimulator):
    """Its sender would wait for ever: the code of JSON-RPC, our sentence, and the id if there is one."""
    answers = await told(
        amos,
        *(b"{", b"\x00\xff\xfe", b"hello", b"[" * 200_000),
        *(parameter(one) for one in (b'"\xff"', b'"\\ud800"', b"1e999", b"[" * 300 + b"]" * 300)),
        *(b"[]", json.dumps([HELLO]).encode(), b"null"),
        *(
            {"jsonrpc": "1.0", "id": 7, "method": "ping"},
            {"id": 1.5, "method": "ping"},
            {"id": 8, "method": 5},
        ),
        {"id": "nine", "method": "tools/call", "params": []},
        *(b"", b"  ", {"id": 10, "result": {}}, {"id": None, "error": {"code": -1, "message": "no"}}),
        *(HELLO, READY, {"id": 11, "method": "browse"}, call(12, "tides", "browse"), call(13, ["tides"])),
        {"method": "notifications/cancelled", "params": {"requestId": 99}},
        {"method": "notifications/cancelled", "params": {"requestId": {}}},
    )

    by_id = {answer["id"]: answer for answer in answers if answer["id"] is not None}
    nobodys = [answer["error"]["code"] for answer in answers if answer["id"] is None]
    assert sorted(nobodys) == [-32700] * 6 + [-32600] * 5
    codes = {key: answer["error"]["code"] for key, answer in by_id.items() if "error" in answer}
    assert codes == {6: -32700, 7: -32600, 8: -32600, "nine": -32600, 11: -32601, 12: -32602}
    assert by_id[13]["result"]["content"][0]["text"].startswith("query: expected a string, got a list.")
    assert set(by_id) == {0, 6, 7, 8, "nine", 11, 12, 13}
    assert web.count == 0


async def test_what_was_asked_is_answered_when_the_input_ends(amos: CommandLine, web: TavilySimulator):
    """Calls under way at the end of input are paid for: ids used twice, and a line without its end, too."""
    web.always(Fault.delay(1.0))

    answers = await told(
        amos,
        *(HELLO, READY, call(1, "x" * 5_000_000), b"y" * 5_000_000),
        *(call(2, "tides one"), call(2, "tides two")),
        ends=line(call(3, "tides three")).rstrip(),
    )

    refused = [answer["error"] for answer in answers if answer["id"] is None]
    assert [(error["code"], error["message"]) for error in refused] == [
        (-32600, "A line may have 1,048,576 bytes at most.")
    ] * 2
    found = [answer for answer in answers if answer["id"] in (2, 3)]
    assert sorted((answer["id"], answer["result"]["structuredContent"]["query"]) for answer in found) == [
        *((2, "tides one"), (2, "tides two"), (3, "tides three"))
    ]


async def test_a_client_that_is_gone_is_the_end(amos: CommandLine, web: TavilySimulator):
    """Nobody reads the answer: it ends soon, quietly, and the call that was paid for is on record."""
    web.always(Fault.delay(1.0))
    ours, theirs = os.pipe()
    process = await started(amos, theirs)
    os.close(theirs)
    assert process.stdin is not None
    process.stdin.write(line(HELLO) + line(READY) + line(call(1, "tides")))
    await until(lambda: web.count == 1, END_S, lambda: "the call")

    os.close(ours)
    process.stdin.close()

    async with asyncio.timeout(END_S):
        _, complaints = await process.communicate()
    assert (process.returncode, complaints) == (0, b"")
    assert web.count == 1
    assert "operation=search door=mcp" in amos.run("events", "tail").stdout


async def test_a_client_that_no_longer_reads_is_the_end(amos: CommandLine):
    """Its input may stay open for ever: whoever answers nobody ends, and complains of nothing."""
    ours, theirs = os.pipe()
    process = await started(amos, theirs)
    os.close(theirs)
    assert process.stdin is not None
    process.stdin.write(line(HELLO))
    await asyncio.to_thread(os.read, ours, 100_000)

    os.close(ours)
    process.stdin.write(line({"id": 1, "method": "ping"}))

    async with asyncio.timeout(END_S):
        assert await process.wait() == 0
    assert process.stderr is not None
    assert await process.stderr.read() == b""
