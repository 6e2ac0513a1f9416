"""LangChain's tools for Tavily, invoked as an agent of LangChain invokes them. Runs in .venv-clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import langchain_tavily
from langchain_core.tools import BaseTool

from tests.support.foreign_side import answer_calls


def tool(name: str, base: str, key: str, setup: Mapping[str, Any] | None) -> BaseTool:
    """A tool pointed at AMOS; `setup` are the options that can be given on making it only."""
    kind: type[BaseTool] = getattr(langchain_tavily, name)
    return kind(tavily_api_key=key, api_base_url=base, **(setup or {}))


def invoke(name: str, base: str, key: str, setup: Mapping[str, Any] | None = None, **arguments: Any) -> Any:
    """What the tool gives to an agent."""
    return tool(name, base, key, setup).invoke(arguments)


async def ainvoke(
    name: str, base: str, key: str, setup: Mapping[str, Any] | None = None, **arguments: Any
) -> Any:
    """The same, from a coroutine: other code of theirs, over another HTTP library."""
    return await tool(name, base, key, setup).ainvoke(arguments)


def stream(base: str, key: str, **arguments: Any) -> str:
    """The whole of a research that is told as it is made."""
    return b"".join(invoke("TavilyResearch", base, key, stream=True, **arguments)).decode()


async def astream(base: str, key: str, **arguments: Any) -> str:
    """The same, from a coroutine."""
    told = await ainvoke("TavilyResearch", base, key, stream=True, **arguments)
    return b"".join([part async for part in told]).decode()


if __name__ == "__main__":
    answer_calls({"invoke": invoke, "ainvoke": ainvoke, "stream": stream, "astream": astream})
