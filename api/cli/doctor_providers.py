"""The part of `amos doctor` that looks at providers: what each lacks and, if asked to, whether it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SecretStr

from api.cli.doctor_checks import FAILURE, OK, UNCONFIGURED, WARNING, Finding
from api.cli.quantities import seconds
from api.composition import gateway
from api.providers import roster_of
from orchestrator.clock import SystemClock
from orchestrator.errors import GatewayError
from orchestrator.health import plugins_health
from orchestrator.model import CacheControl, Caller, SearchRequest

if TYPE_CHECKING:
    from api.settings import Settings
    from orchestrator.providers.registry import Kinds

QUESTION = "search gateway"
"""What every provider is asked: harmless, short, and found everywhere."""

_NOBODY = Finding(
    name="providers",
    status=WARNING,
    detail="none is configured",
    next_step="Set TAVILY_API_KEY or JINA_API_KEY, or name folders in AMOS_LOCAL_PATHS.",
)


async def check_providers(settings: Settings) -> list[Finding]:
    """Each provider of the chain, in order, and what an unconfigured one lacks. Calls nobody."""
    try:
        roster = roster_of(settings, SystemClock())
    except GatewayError as error:
        return [Finding(name="providers", status=FAILURE, detail=error.message)]
    found = {name: _finding(name, UNCONFIGURED, why) for name, why in roster.reasons.items()}
    for provider in roster.providers:
        await provider.aclose()
        folders = f"searches {', '.join(map(str, settings.local_folders))}"
        keys = len(settings.api_keys(provider.name))
        configured = f"configured, with {keys} keys" if keys > 1 else "configured"
        found[provider.name] = _finding(
            provider.name, OK, folders if provider.name == "local" else configured
        )
    listed = [found[name] for name in settings.providers] + ([] if roster.providers else [_NOBODY])
    return [*listed, *_plugins(roster.kinds)]


def _plugins(kinds: Kinds) -> list[Finding]:
    """What is wrong with plug-ins, if any are installed."""
    if not kinds.has_plugins:
        return []
    seen = plugins_health(kinds, 0.0)
    status = OK if seen.status == "ok" else WARNING
    return [Finding(name="plugins", status=status, detail=seen.detail, next_step=seen.advice)]


async def ask_provider(settings: Settings, name: str) -> list[Finding]:
    """One search at one provider, alone, with each of its keys: recorded and billed as every other is.

    Without Redis: what other instances know of the provider would keep it from being asked, and what is found
    out about one key would close the provider to all of them.
    """
    alone = settings.model_copy(
        update={"providers": (name,), "local_paths": settings.local_folders, "redis_url": None}
    )
    keys = settings.api_keys(name)
    if len(keys) < 2:
        return [await _ask(alone, f"online {name}")]
    return [
        await _ask(
            alone.model_copy(update={f"{name}_api_key": SecretStr(key)}), f"online {name}, key {number}"
        )
        for number, key in enumerate(keys, start=1)
    ]


async def _ask(alone: Settings, shown: str) -> Finding:
    caller = Caller(door="cli", is_in_process=True, cache_control=CacheControl(no_cache=True))
    async with gateway(alone) as running:
        call = running.open(SearchRequest(query=QUESTION, max_results=1), caller)
        try:
            response = await running.search(call)
        except GatewayError as error:
            step = f"Check key, quota and address; see `amos events show {call.trail.execution_id}`."
            return Finding(name=shown, status=FAILURE, detail=error.message, next_step=step)
    took = seconds(sum(attempt.duration_s for attempt in response.attempts))
    return Finding(name=shown, status=OK, detail=f"answered in {took}")


def _finding(name: str, status: str, detail: str) -> Finding:
    return Finding(name=f"provider {name}", status=status, detail=detail)
