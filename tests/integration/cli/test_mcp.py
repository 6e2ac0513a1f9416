"""`amos mcp` in a process of its own, as a desktop client starts it."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.support import mcp_wire
from tests.support.mcp_wire import LEGACY, MODERN
from tests.support.processes import until
from tests.support.simulator import Fault

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine, InThisProcess
    from tests.support.tavily_simulator import TavilySimulator

END_S = 20.0


@pytest.fixture
def amos(amos: InThisProcess) -> CommandLine:
    """The command line with a process for each command."""
    return amos.apart


def client_of(amos: CommandLine, mode: str) -> Client:
    """The official client, which starts the command."""
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "api.cli", "mcp"], env=amos.whole_environment, cwd=amos.folder
    )
    return Client(stdio_client(command), mode=mode)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_searches_through_pipes(amos: CommandLine, mode: str):
    """In both eras the command serves the tools, and when its client is done everything is on record."""
    async with client_of(amos, mode) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        found = await client.call_tool("web_search", {"query": "circuit breaker"})
        wrong = await client.call_tool("web_search", {"query": 5})

    assert tools == ["search", "fetch", "web_search", "extract", "tavily_search", "tavily_extract"]
    assert found.structured_content["results"]
    assert wrong.is_error
    shown = amos.run("events", "show", found.structured_content["amos"]["execution_id"])
    assert "operation=search door=mcp client=local" in shown.stdout


def conversation(*messages: dict[str, Any]) -> str:
    """The messages as lines."""
    return "".join(json.dumps({"jsonrpc": "2.0", **message}) + "\n" for message in messages)


HELLO = {
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


def test_the_end_of_input_is_the_end(amos: CommandLine):
    """It answers what it was asked, whatever garbage came before, and refuses that; then it ends well."""
    result = amos.run("mcp", stdin="{\n\x00\nhello\n" + conversation(HELLO))

    *refused, answer = result.json_lines
    assert [one["error"]["code"] for one in refused] == [-32700] * 3
    assert answer["result"]["serverInfo"]["name"] == "amos"
    assert (result.exit_code, result.stderr) == (0, "")


def test_bad_settings_are_told_on_the_error_stream(amos: CommandLine):
    """The output belongs to the protocol; why it cannot start is where clients show it."""
    result = amos.run("mcp", stdin=conversation(HELLO), AMOS_DEADLINE_S="never")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "AMOS_DEADLINE_S" in result.stderr


def test_ctrl_c_ends_it_while_it_waits(amos: CommandLine):
    """It does not wait for another line when it is told to go."""
    process = subprocess.Popen(
        [sys.executable, "-m", "api.cli", "mcp"],
        cwd=amos.folder,
        env=amos.whole_environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(conversation(HELLO))
        process.stdin.flush()
        assert process.stdout.readline()

        process.send_signal(signal.SIGINT)

        assert process.wait(END_S) == -signal.SIGINT


def test_a_person_at_a_terminal_is_told_what_it_is_for(amos: CommandLine):
    """Without a client it would wait in silence for ever."""
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "api.cli", "mcp"],
        cwd=amos.folder,
        env=amos.whole_environment,
        stdin=theirs,
        capture_output=True,
        text=True,
        timeout=END_S,
        check=False,
    )
    os.close(ours)
    os.close(theirs)

    assert (done.returncode, done.stdout) == (1, "")
    assert "docs/mcp.md" in done.stderr


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_slow_calls_report_progress_through_pipes(amos: CommandLine, web: TavilySimulator, mode: str):
    """Who wants progress hears whom AMOS asks, in both eras, before the answer and not after it."""
    web.always(Fault.delay(1.5))
    heard: list[tuple[float, str | None]] = []

    async def on_progress(done: float, _total: float | None, message: str | None) -> None:
        heard.append((done, message))

    async with client_of(amos, mode) as client:
        found = await client.call_tool("web_search", {"query": "tides"}, progress_callback=on_progress)
        at_the_answer = len(heard)

    assert found.structured_content["amos"]["provider"] == "tavily"
    assert "asking tavily" in [message for _, message in heard]
    assert [done for done, _ in heard] == sorted({done for done, _ in heard})
    assert len(heard) == at_the_answer


@pytest.mark.parametrize("version", [LEGACY, MODERN])
async def test_a_cancelled_call_ends_its_wait_and_not_the_flight(
    amos: CommandLine, web: TavilySimulator, version: str
):
    """The client is not answered any more; the same question afterwards rides on what is paid for."""
    web.always(Fault.delay(2.0))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api.cli", "mcp"),
        cwd=amos.folder,
        env=amos.whole_environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    hello = conversation(HELLO, {"method": "notifications/initialized"})
    if version == MODERN:
        hello = conversation(mcp_wire.message(MODERN, "server/discover"))
    search = {"name": "web_search", "arguments": {"query": "tides"}}
    cancel = mcp_wire.message(version, "notifications/cancelled", requestId=2)
    del cancel["id"]
    async with asyncio.timeout(END_S * 2):
        process.stdin.write(hello.encode())
        await process.stdout.readline()
        process.stdin.write(conversation(mcp_wire.message(version, "tools/call", 2, **search)).encode())
        await until(lambda: web.count == 1, END_S, lambda: "the call")
        process.stdin.write(
            conversation(cancel, mcp_wire.message(version, "tools/call", 3, **search)).encode()
        )
        answer = json.loads(await process.stdout.readline())
        process.stdin.close()
        await process.wait()

    assert answer["id"] == 3
    assert answer["result"]["structuredContent"]["amos"]["cache"] == "collapsed"
    assert web.count == 1
    assert "error=cancelled" in amos.run("events", "tail").stdout
