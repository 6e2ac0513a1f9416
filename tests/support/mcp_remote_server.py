"""A remote MCP server with search tools, made with the official SDK or fastmcp, as a process to be killed.

    with RemoteServer("sdk") as remote:
        ... remote.url, remote.kill(), remote.start()

Its tools answer from the query alone. `find` is the ordinary one; each of the others answers in a shape, or
with a trouble, of its own. `era="handshake"` refuses what the revision without sessions sends, as servers did
before there was one.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Self

import httpx

from tests.support.generated import hosts_for, seed_of, sentence, title_for
from tests.support.processes import ROOT, environment

START_S = 60.0
MODERN = b"2026-07-28"


class RemoteServer:
    """The server as a process, on the same port each time it is started. A context manager."""

    def __init__(self, maker: str = "sdk", *, era: str = "both", answers: str = "stream") -> None:
        self._options = (maker, "--era", era, "--answers", answers)
        self._port = 0  # any, until it is started the first time
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self._port}/mcp"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start, and return when it answers.

        It is born with its listener: nobody else can have got the port in the meantime.
        """
        program = (sys.executable, "-W", "ignore", "-m", "tests.support.mcp_remote_server", *self._options)
        with socket.create_server(("127.0.0.1", self._port)) as listener:
            self._port = listener.getsockname()[1]
            command = [*program, "--fd", str(listener.fileno())]
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment({}),
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        httpx.delete(self.url, timeout=START_S)

    def kill(self) -> None:
        """End it at once, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


# --- its tools ----------------------------------------------------------------------------------------------


def results(query: str, limit: int) -> list[dict[str, Any]]:
    """As many results as are asked for."""
    return [
        {
            "title": title_for(query, host),
            "url": f"https://{host}/{number}/{seed_of(query):08x}",
            "snippet": sentence(query, number),
            "score": round(0.9 - 0.05 * number, 4),
            "published": "2026-11-10",
        }
        for number, host in enumerate(hosts_for(query, limit))
    ]


async def find(query: str, limit: int = 5) -> dict[str, Any]:
    """Search, and tell the results as an object; never so fast that nobody could call it off."""
    await asyncio.sleep(0.02)
    return {"results": results(query, limit)}


async def openai_search(query: str) -> dict[str, Any]:
    """Search, in the shape that OpenAI's connectors want."""
    found = results(query, 4)
    return {"results": [{"id": one["url"], "title": one["title"], "url": one["url"]} for one in found]}


async def bare_list(query: str) -> list[dict[str, Any]]:
    """Search, and tell the results as a list."""
    return results(query, 4)


async def as_text(q: str, num: int = 5) -> str:
    """Search, and tell the results as JSON in a text."""
    return json.dumps(
        {"data": {"items": [{"link": one["url"], "name": one["title"]} for one in results(q, num)]}}
    )


async def as_prose(query: str) -> str:
    """Search, and tell the results in words."""
    return f"1. {title_for(query, 'almanac.example')}: {sentence(query)}"


async def slow(query: str) -> dict[str, Any]:
    """Search for a minute."""
    await asyncio.sleep(60)
    return {"results": results(query, 1)}


async def failing(query: str) -> dict[str, Any]:
    """Fail with the query as the reason."""
    raise RuntimeError(query)


async def strict(terms: str, region: str) -> dict[str, Any]:
    """Search in a region, which must be given."""
    return {"results": results(f"{terms} in {region}", 3)}


async def huge(query: str) -> dict[str, Any]:
    """Answer with twelve million characters."""
    return {"results": [{"title": query, "url": "https://almanac.example/", "snippet": "x" * 12_000_000}]}


async def fetch(id: str) -> dict[str, Any]:  # noqa: A002 - what OpenAI's connectors call it
    """Read a page, in the shape that OpenAI's connectors want."""
    if "gone" in id:
        raise RuntimeError("No such document")
    return {"id": id, "title": title_for("Page", id), "text": f"# {id}", "url": id}


async def read_page(url: str) -> str:
    """Read a page as Markdown."""
    await asyncio.sleep(60 if "slow" in url else 0)
    return f"# {url}\n\n{sentence(url)}"


async def read_pages(urls: list[str]) -> list[dict[str, Any]]:
    """Read several pages at once."""
    return [{"url": url, "raw_content": f"# {url}"} for url in urls if "gone" not in url]


TOOLS = (
    *(find, openai_search, bare_list, as_text, as_prose, slow, failing, strict, huge),
    *(fetch, read_page, read_pages),
)

App = Callable[[Any, Any, Any], Awaitable[None]]


def sdk_app(answers: str) -> App:
    """The tools on the official SDK."""
    from mcp.server import MCPServer  # noqa: PLC0415 - only one of the two is needed
    from mcp.server.mcpserver.exceptions import ToolError  # noqa: PLC0415

    server = MCPServer("remote")
    for tool in TOOLS:
        server.add_tool(_telling(tool, ToolError), name=tool.__name__)
    return server.streamable_http_app(json_response=answers == "json")


def fastmcp_app(answers: str) -> App:
    """The tools on fastmcp."""
    import fastmcp  # noqa: PLC0415 - likewise
    from fastmcp.exceptions import ToolError  # noqa: PLC0415

    server = fastmcp.FastMCP("remote")
    for tool in TOOLS:
        server.tool(_telling(tool, ToolError), name=tool.__name__)
    app: App = server.http_app(json_response=answers == "json")
    return app


def _telling(tool: Callable[..., Awaitable[Any]], error: type[Exception]) -> Callable[..., Awaitable[Any]]:
    """The tool with its exceptions as those whose words a client is told."""

    @functools.wraps(tool)
    async def told(*arguments: Any, **named: Any) -> Any:
        try:
            return await tool(*arguments, **named)
        except RuntimeError as reason:
            raise error(str(reason)) from reason

    return told


def before_sessions_went(app: App) -> App:
    """The app as a server of the time before 2026-07-28: it refuses a revision it has never heard of."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if dict(scope.get("headers", ())).get(b"mcp-protocol-version") != MODERN:
            await app(scope, receive, send)
            return
        words = "Bad Request: Unsupported protocol version"
        error = {"jsonrpc": "2.0", "id": "server-error", "error": {"code": -32600, "message": words}}
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 400, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(error).encode()})

    return serve


def main() -> None:
    """Serve until killed."""
    import uvicorn  # noqa: PLC0415 - the tests that import this module need none

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("maker", choices=("sdk", "fastmcp"))
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--era", choices=("both", "handshake"), default="both")
    parser.add_argument("--answers", choices=("stream", "json"), default="stream")
    options = parser.parse_args()
    app = sdk_app(options.answers) if options.maker == "sdk" else fastmcp_app(options.answers)
    if options.era == "handshake":
        app = before_sessions_went(app)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    server.run([socket.socket(fileno=options.fd)])


if __name__ == "__main__":
    main()
