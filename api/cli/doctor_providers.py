"""The part of `amos doctor` that looks at providers: what each lacks and, if asked to, whether it answers."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from api import provider_question
from api.cli.doctor_finding import FAILURE, OK, UNCONFIGURED, WARNING, Finding
from api.cli.in_process import DOOR
from api.providers import roster_of
from api.registrations import registrations
from orchestrator.clock import SystemClock
from orchestrator.errors import GatewayError
from orchestrator.health import plugins_health

if TYPE_CHECKING:
    from api.settings import Settings
    from orchestrator.providers.registry import Kinds, Registration
    from orchestrator.roster import Roster

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
    """What a provider answers to one question, with each of its keys; see api/provider_question.py."""
    return [
        Finding(
            name=f"online {name}, key {reply.key}" if reply.key else f"online {name}",
            status=FAILURE if reply.next_step else OK,
            detail=reply.detail,
            next_step=reply.next_step,
        )
        for reply in await provider_question.ask_provider(settings, name, door=DOOR)
    ]


def _finding(name: str, status: str, detail: str) -> Finding:
    return Finding(name=f"{_PROVIDER}{name}", status=status, detail=detail)
