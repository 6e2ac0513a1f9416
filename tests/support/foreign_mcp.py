"""Clients of MCP, as a table: how each is started, and in which of its own modes it is tried."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.support.foreign import ANSWER_S, ClientError
from tests.support.foreign_tavily import NPM_FOLDER
from tests.support.npm import NODE
from tests.support.processes import environment


class Asked(Protocol):
    """A client in a process of its own, which knows `list_tools` and `call_tool`."""

    async def ask(self, call: str, **arguments: Any) -> Any:
        """What the client returned. Raises ClientError if it raised."""


@dataclass(frozen=True)
class Kind:
    """One client in one of its modes: the era of the protocol it speaks, or seeks."""

    name: str
    mode: str

    @property
    def command(self) -> tuple[str, ...]:
        """Starts its script."""
        return (sys.executable, "-m", f"tests.clients.with_{self.name}")


INSPECTOR = "inspector"

KINDS = [
    *(Kind("mcp", mode) for mode in ("auto", "legacy", "2026-07-28")),
    *(Kind("fastmcp", mode) for mode in ("auto", "legacy", "2026-07-28")),
    *(Kind("agno", mode) for mode in ("auto", "legacy")),
    *(Kind(INSPECTOR, mode) for mode in ("legacy", "modern")),  # each question is a process: as few as do
]


class McpUser:
    """A client pointed at one address, with a key or without."""

    def __init__(self, kind: Kind, client: Asked, url: str) -> None:
        self.kind = kind
        self._client = client
        self._url = url

    async def list_tools(self, key: str = "", url: str = "") -> list[str]:
        """The names of the tools it is offered."""
        found: list[str] = await self._ask("list_tools", key, url)
        return found

    async def call_tool(self, tool: str, key: str = "", url: str = "", **arguments: Any) -> Any:
        """What a tool returns, from its text, which every client shows. Raises ClientError for an error.

        An agent of Agno is told of an error in a text like any other.
        """
        result = await self._ask("call_tool", key, url, tool=tool, arguments=arguments)
        try:
            answer = json.loads(result["text"])
        except json.JSONDecodeError:
            raise ClientError(result["text"]) from None
        assert result.get("structured", answer) == answer  # the two say the same
        return answer

    async def _ask(self, call: str, key: str, url: str, **arguments: Any) -> Any:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return await self._client.ask(
            call, url=url or self._url, headers=headers, mode=self.kind.mode, **arguments
        )


class Inspector:
    """The command line of MCP Inspector, which is started anew for each question, as people do."""

    _program = NPM_FOLDER / "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"

    def __init__(self, home: Path) -> None:
        self._home = home
        """It keeps a catalogue of servers there."""

    async def ask(self, call: str, **arguments: Any) -> Any:
        """What it prints as JSON. Raises ClientError with its complaint if it ends otherwise than well."""
        output = await self._run(*_words(**arguments))
        result = json.loads(output)["result"]
        if call == "list_tools":
            return [tool["name"] for tool in result["tools"]]
        return {"text": result["content"][0]["text"], "structured": result["structuredContent"]}

    async def _run(self, *words: str) -> bytes:
        process = await asyncio.create_subprocess_exec(
            *(NODE, str(self._program), "--cli", *words),
            cwd=self._home,
            env=environment({"HOME": str(self._home), "NO_COLOR": "1"}),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            output, complaint = await asyncio.wait_for(process.communicate(), ANSWER_S)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise ClientError(f"exit {process.returncode}: {(complaint + output).decode()}")
        return output


def _words(
    url: str,
    headers: dict[str, str],
    mode: str,
    tool: str = "",
    arguments: dict[str, Any] | None = None,
) -> list[str]:
    """The words of its command line."""
    words = ["--server-url", url, "--transport", "http", "--protocol-era", mode, "--format", "json"]
    words += ["--stored-auth-only"]  # it would open a browser for who is refused
    for name, value in headers.items():
        words += ["--header", f"{name}: {value}"]
    if not tool:
        # Also checks whether other programs can read the schemas of the tools.
        return [*words, "--method", "tools/list", "--strict"]
    return [*words, "--method", "tools/call", "--tool-name", tool, "--tool-args-json", json.dumps(arguments)]
