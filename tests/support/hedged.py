"""A gateway that knows how long its providers usually take, for tests of second calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from orchestrator.cache_policy import CachePolicy
from orchestrator.filters.retry import RetryPolicy
from orchestrator.hedging import HedgePolicy
from orchestrator.model import Call, Response, SearchRequest
from orchestrator.parts import Policies
from tests.support.core import Core
from tests.support.scripted_provider import ScriptedProvider, found

USUAL_S = 1.0
"""What both providers take at first; tavily's usual time is known from that."""


def hedging(ratio: float = 1.0, **policies: Any) -> Policies:
    """Policies with second calls, without retries and chance."""
    return Policies(
        **{
            "cache": CachePolicy(jitter_ratio=0.0),
            "retry": RetryPolicy(attempts_max=1),
            "hedge": HedgePolicy(ratio=ratio),
            **policies,
        }
    )


async def known(
    tavily: ScriptedProvider,
    jina: ScriptedProvider,
    *more: ScriptedProvider,
    policies: Policies | None = None,
    **options: Any,
) -> Core:
    """A gateway that has seen enough of tavily's answers to know its usual time."""
    core = Core(tavily, jina, *more, policies=policies or hedging(), **options)
    script, tavily.script = tavily.script, [3]
    tavily.delay_s = USUAL_S
    await asyncio.gather(*(core.search(f"known {n}") for n in range(20)))
    tavily.script, tavily.calls, tavily.delay_s = script, 0, 0.0
    tavily.queries.clear()
    return core


def after(seconds: float, line: Any) -> Callable[[Call[Any]], Awaitable[Any]]:
    """An answer that takes so long."""

    async def answer(_call: Call[Any]) -> Any:
        await asyncio.sleep(seconds)
        if isinstance(line, Exception):
            raise line
        return found(line, "web") if isinstance(line, int) else line

    return answer


async def ask(core: Core, query: str = "tides") -> tuple[Response, Call[SearchRequest], float]:
    """A search: its answer, its call, and how long it took."""
    call = core.open(SearchRequest(query=query))
    began = core.clock.monotonic()
    answer = await core.gateway.search(call)
    return answer, call, core.clock.monotonic() - began


def of(core: Core, call: Call[Any], *kinds: type) -> list[Any]:
    """The recorded events of these kinds."""
    return [event for event in core.events(call) if isinstance(event, kinds)]
