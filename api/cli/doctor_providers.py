"""The part of `amos doctor` that looks at providers: what each lacks and, if asked to, whether it answers."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pydantic import SecretStr

from api.cli.doctor_finding import FAILURE, OK, UNCONFIGURED, WARNING, Finding
from api.composition import gateway
from api.providers import roster_of
from api.quantities import seconds
from api.registrations import registrations
from orchestrator.clock import SystemClock
from orchestrator.errors import GatewayError
from orchestrator.health import plugins_health
from orchestrator.model import CacheControl, Caller, SearchRequest

if TYPE_CHECKING:
    from api.settings import Settings
    from orchestrator.providers.registry import Kinds, Registration
    from orchestrator.roster import Roster

QUESTION = "search gateway"
"""What every provider is asked: harmless, short, and found everywhere."""

_PROVIDER = "provider "
"""How the finding about one provider is called, before its name."""

_NOBODY = Finding(
    name="providers",
    status=WARNING,
    detail="none is configured",
    next_step="Set TAVILY_API_KEY or JINA_API_KEY, or name folders in AMOS_LOCAL_PATHS.",
)


_DATABASE = "Get the database back: see `database`."


async def check_providers(settings: Settings) -> list[Finding]:
    """Each provider of the chain, in order, and what an unconfigured one lacks. Calls nobody."""
    clock = SystemClock()
    try:
        roster = roster_of(settings, clock)
    except GatewayError as error:
        return [Finding(name="providers", status=FAILURE, detail=error.message)]
    async with contextlib.aclosing(roster), registrations(settings, roster, clock) as book:
        found = [_look(settings, roster, one) for one in roster.registrations]
        if not roster.providers:
            found.append(_NOBODY)
        if book.fault:
            detail = f"those registered at run time cannot be read. {book.fault}"
            found.append(Finding(name="registrations", status=WARNING, detail=detail, next_step=_DATABASE))
    return [*found, *_plugins(roster.kinds)]


def ready(found: list[Finding]) -> list[str]:
    """The names of the providers among the findings that can be asked."""
    return [
        one.name.removeprefix(_PROVIDER)
        for one in found
        if one.status == OK and one.name.startswith(_PROVIDER)
    ]


def _look(settings: Settings, roster: Roster, one: Registration) -> Finding:
    if not one.is_enabled:
        return _finding(one.name, UNCONFIGURED, "disabled; `amos providers enable` has it asked again")
    if one.name in roster.reasons:
        return _finding(one.name, UNCONFIGURED, roster.reasons[one.name])
    if one.name == "local":
        return _finding(one.name, OK, f"searches {', '.join(map(str, settings.local_folders))}")
    keys = len(settings.api_keys(one.name))
    of_kind = "" if one.kind == one.name else f" as {one.kind}"
    return _finding(one.name, OK, f"configured{of_kind}" + (f", with {keys} keys" if keys > 1 else ""))


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
    alone = settings.model_copy(update={"local_paths": settings.local_folders, "redis_url": None})
    keys = settings.api_keys(name)
    if len(keys) < 2:
        return [await _ask(alone, name, f"online {name}")]
    return [
        await _ask(
            alone.model_copy(update={f"{name}_api_key": SecretStr(key)}), name, f"online {name}, key {number}"
        )
        for number, key in enumerate(keys, start=1)
    ]


async def _ask(alone: Settings, name: str, shown: str) -> Finding:
    caller = Caller(door="cli", is_in_process=True, cache_control=CacheControl(no_cache=True))
    async with gateway(alone, only=name) as running:
        call = running.open(SearchRequest(query=QUESTION, max_results=1), caller)
        try:
            response = await running.search(call)
        except GatewayError as error:
            step = f"Check key, quota and address; see `amos events show {call.trail.execution_id}`."
            return Finding(name=shown, status=FAILURE, detail=error.message, next_step=step)
    took = seconds(sum(attempt.duration_s for attempt in response.attempts))
    return Finding(name=shown, status=OK, detail=f"answered in {took}")


def _finding(name: str, status: str, detail: str) -> Finding:
    return Finding(name=f"{_PROVIDER}{name}", status=status, detail=detail)
