"""Providers of the kind `mcp` as their options make them, and how a search with one ends."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from orchestrator.clock import SystemClock
from orchestrator.errors import ProviderError
from orchestrator.providers.mcp_tool import MCP
from orchestrator.providers.registry import Kinds, Registration, Tools

SECRETS = {"linear": "lin-secret", "odd": "a&b c"}


def mcp_provider(url: str, tool: str = "find", **options: Any) -> Any:
    """What the kind makes of these options. Raises InvalidRequest."""
    given = {"url": url, "tool": tool, **options}
    registration = Registration(name="remote", kind="mcp", priority=100, options=given)
    return Kinds({"mcp": MCP}, ()).make(registration, Tools(clock=SystemClock(), secret=SECRETS.get))


async def failure_of(search: Awaitable[Any]) -> ProviderError:
    """The error a search ends with. Raises AssertionError if it ends well."""
    try:
        await search
    except ProviderError as error:
        return error
    raise AssertionError("it did not fail")
