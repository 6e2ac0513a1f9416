"""Who can be asked what was used: the providers of an installation that tell."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from api.settings import Settings
from orchestrator.budget_ports import UsageSource
from orchestrator.ports import Clock
from orchestrator.providers.jina_usage import JinaUsage
from orchestrator.providers.tavily_usage import TavilyUsage
from orchestrator.providers.upstream import Upstream


@contextlib.asynccontextmanager
async def usage_sources(settings: Settings, clock: Clock) -> AsyncIterator[tuple[UsageSource, ...]]:
    """The sources of the providers in the chain that have a key, each with a connection of its own."""
    async with contextlib.AsyncExitStack() as cleanup:
        found: list[UsageSource] = []
        for name in settings.providers:
            keys = settings.api_keys(name)
            source = _source(settings, name, keys, clock) if keys else None
            if source is not None:
                cleanup.push_async_callback(source.aclose)
                found.append(source)
        yield tuple(found)


def _source(settings: Settings, name: str, keys: tuple[str, ...], clock: Clock) -> UsageSource | None:
    if name == "tavily":
        return TavilyUsage(Upstream(name, clock, connections_max=1), settings.tavily_base_url, keys)
    if name == "jina":
        return JinaUsage(Upstream(name, clock, connections_max=1), settings.jina_reader_url, keys)
    return None
