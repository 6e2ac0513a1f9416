"""One question to one provider, to learn whether it answers: for `amos doctor --online` and the console."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from pydantic import SecretStr

from api.composition import gateway
from api.quantities import seconds
from orchestrator.errors import GatewayError
from orchestrator.model import CacheControl, Caller, SearchRequest

if TYPE_CHECKING:
    from api.settings import Settings

QUESTION = "search gateway"
"""What every provider is asked: harmless, short, and found everywhere."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the question with one key.

    `key` is its number among several, 0 for the only one; `next_step` is `""` if there was an answer.
    """

    key: int
    detail: str
    next_step: str = ""


async def ask_provider(settings: Settings, name: str, *, door: str) -> list[Reply]:
    """One search at one provider, alone, with each of its keys: recorded and billed as every other is.

    `door` is that by which the wish came. Without Redis: what other instances know of the provider would keep
    it from being asked, and what is found out about one key would close the provider to all of them.
    """
    alone = settings.model_copy(update={"local_paths": settings.local_folders, "redis_url": None})
    keys = settings.api_keys(name)
    if len(keys) < 2:
        return [await _ask(alone, name, door, 0)]
    return [
        await _ask(alone.model_copy(update={f"{name}_api_key": SecretStr(key)}), name, door, number)
        for number, key in enumerate(keys, start=1)
    ]


async def _ask(alone: Settings, name: str, door: str, key: int) -> Reply:
    caller = Caller(door=door, is_in_process=True, cache_control=CacheControl(no_cache=True))
    async with gateway(alone, only=name) as running:
        call = running.open(SearchRequest(query=QUESTION, max_results=1), caller)
        try:
            response = await running.search(call)
        except GatewayError as error:
            step = f"Check key, quota and address; see `amos events show {call.trail.execution_id}`."
            return Reply(key=key, detail=error.message, next_step=step)
    took = seconds(sum(attempt.duration_s for attempt in response.attempts))
    return Reply(key=key, detail=f"answered in {took}")
