"""Providers of the kind `mcp` as their options make them."""

from __future__ import annotations

from typing import Any

from orchestrator.clock import SystemClock
from orchestrator.providers.mcp_tool import MCP
from orchestrator.providers.registry import Kinds, Registration, Tools

SECRETS = {"linear": "lin-secret", "odd": "a&b c"}


def mcp_provider(url: str, tool: str = "find", **options: Any) -> Any:
    """What the kind makes of these options. Raises InvalidRequest."""
    given = {"url": url, "tool": tool, **options}
    registration = Registration(name="remote", kind="mcp", priority=100, options=given)
    return Kinds({"mcp": MCP}, ()).make(registration, Tools(clock=SystemClock(), secret=SECRETS.get))
