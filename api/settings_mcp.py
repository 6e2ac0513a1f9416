"""The settings of the door for agents."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator
from pydantic_settings import NoDecode

from api.settings_values import split

TOOL_NAMES = ("search", "fetch", "web_search", "extract", "tavily_search", "tavily_extract")
"""Every tool there is (api/mcp_tools.py), in the order they are listed."""


def tool_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of tools, each one once and known, at least one of them."""
    unknown = [name for name in names if name not in TOOL_NAMES]
    if unknown or not names or len(set(names)) < len(names):
        raise ValueError(f"expected some of {', '.join(TOOL_NAMES)}, each once, separated by commas")
    return names


class McpSettings(BaseModel):
    """What agents are offered."""

    mcp_tools: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(split(",")), AfterValidator(tool_names)
    ] = TOOL_NAMES
    """The tools there are at `/mcp` and `amos mcp`; each one costs every conversation of a model tokens."""
