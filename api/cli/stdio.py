"""`amos mcp`: the tools of `/mcp` over standard input and output, for clients that start their servers."""

from __future__ import annotations

import asyncio
import signal
import sys

from api.cli.failure import CommandError


def mcp() -> None:
    """Serve agents over MCP on standard input and output.

    It ends when its input does, once what was asked is answered.
    For desktop clients, which start this command themselves. It asks the providers in this process, as the
    local operator; a server may run beside it, or none. The log goes to standard error.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise CommandError(
            "`amos mcp` speaks a protocol on standard input and is started by an MCP client.",
            "docs/mcp.md shows how to configure one. To search from here: amos search ...",
        )
    # Whoever sends it wants the process gone. Like SIGTERM this ends at once, whatever is under way; the
    # journal keeps what was recorded for the next command.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    asyncio.run(_serve())


async def _serve() -> None:
    from api.cli.in_process import running_gateway  # noqa: PLC0415
    from api.logs.configure import configure_logging  # noqa: PLC0415
    from api.mcp_server import mcp_server, operator  # noqa: PLC0415
    from api.mcp_stdio import serve_pipes  # noqa: PLC0415
    from api.settings import load  # noqa: PLC0415

    settings = load()
    configure_logging(settings)
    async with running_gateway(settings) as gateway:
        server = mcp_server(gateway, operator, settings.mcp_tools)
        await serve_pipes(server, sys.stdin.buffer)
