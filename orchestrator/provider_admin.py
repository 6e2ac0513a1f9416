"""Registering, moving, enabling, disabling and removing providers at run time, for every surface.

First the rules, then the fact, and only when that is durable the list. Nothing else is kept: whoever folds
the facts comes to the same list (registrations.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from orchestrator import limits
from orchestrator.errors import InvalidRequest, ProviderConflict, ProviderNotFound
from orchestrator.events import Event
from orchestrator.facts import (
    PROVIDERS_STREAM,
    ProviderDisabled,
    ProviderEnabled,
    ProviderMoved,
    ProviderRegistered,
    ProviderRemoved,
)
from orchestrator.ports import PROVIDER_NAME, WEB_SCHEMES
from orchestrator.projections.registrations import Said
from orchestrator.provider_options import check_options, shown_options
from orchestrator.providers.registry import PRIORITY_MAX, PRIORITY_STEP, Registration
from orchestrator.recorder import Recorder
from orchestrator.registrations import RegistrationBook


class ProviderWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a provider shall be. `priority` `None` is the last place before documents of one's own.

    `replace` lets it take the place of one that was registered at run time under the same name.
    """

    name: str
    kind: str
    priority: int | None = None
    options: dict[str, Any] = {}
    enabled: bool = True
    replace: bool = False


class ProviderChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shall be different about a provider; `None` stays as it is."""

    priority: int | None = None
    enabled: bool | None = None


class ListedProvider(msgspec.Struct, frozen=True, kw_only=True):
    """A provider as it is shown.

    `source` is `settings` or `runtime`; `status` is `serving`, `disabled` or `unconfigured`, for which
    `detail` has the reason. `since` and `by` tell the last change at run time, `None` and `""` without one.
    """

    name: str
    kind: str
    priority: int
    enabled: bool
    source: Literal["settings", "runtime"]
    options: Mapping[str, Any]
    status: Literal["serving", "disabled", "unconfigured"]
    detail: str
    since: float | None
    by: str


class ListedKind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind that providers may be of; `options` is a JSON Schema. One that is broken has a `fault` only."""

    name: str
    summary: str = ""
    options: Mapping[str, Any] = {}
    fault: str = ""


class ProviderList(msgspec.Struct, frozen=True):
    """All providers in the order in which they are asked, and all kinds there are."""

    providers: tuple[ListedProvider, ...]
    kinds: tuple[ListedKind, ...]


class ProviderAdmin:
    """What may be done to the list of providers. Changes of one process happen one after the other.

    `by` is the client that asks. Every change raises InvalidRequest, ProviderNotFound or ProviderConflict for
    what cannot be, and EventLogUnavailable when it could not be recorded, and then nothing has changed; when
    it returns the change is durable, in force in this process, and soon in all others. `is_secret` tells
    whether a text holds a secret of the settings.
    """

    def __init__(
        self, book: RegistrationBook, recorder: Recorder, *, is_secret: Callable[[str], bool]
    ) -> None:
        self._book = book
        self._roster = book.roster
        self._recorder = recorder
        self._is_secret = is_secret
        self._turn = asyncio.Lock()

    def list(self) -> tuple[ListedProvider, ...]:
        """All providers, in the order in which they are asked, disabled and unconfigured ones too."""
        return tuple(self._listed(one) for one in self._roster.registrations)

    async def kinds(self) -> tuple[ListedKind, ...]:
        """All kinds there are, by name. Imports what was not imported before."""
        kinds = self._roster.kinds
        await self._roster.prepare(kinds.names)
        broken = [ListedKind(name=name, fault=fault) for name, fault in kinds.faults.items()]
        found = [
            ListedKind(name=name, summary=kind.summary, options=_schema(kind.options))
            for name in kinds.names
            for kind in (kinds.of(name),)
        ]
        return tuple(sorted([*found, *broken], key=lambda kind: kind.name))

    async def register(self, wish: ProviderWish, *, by: str) -> ListedProvider:
        """Have a provider from now on."""
        if PROVIDER_NAME.fullmatch(wish.name) is None:
            raise InvalidRequest(
                "name: expected 1 to 32 lower-case letters, digits and _, beginning with a letter.",
                field="name",
            )
        check_options(wish.options, self._is_secret)
        async with self._turn:
            await self._up_to_date()
            self._refuse_conflict(wish)
            priority = self._last_place() if wish.priority is None else _priority(wish.priority)
            one = Registration(
                name=wish.name,
                kind=wish.kind,
                priority=priority,
                options=wish.options,
                is_enabled=wish.enabled,
            )
            await self._roster.check(one)
            fact = ProviderRegistered(
                provider=one.name,
                kind=one.kind,
                priority=one.priority,
                options=one.options,
                is_enabled=one.is_enabled,
                by=by,
            )
            await self._record(fact)
            return self._listed(self._found(one.name))

    async def change(
        self, name: str, change: ProviderChange, *, by: str, seen: Sequence[str] = ()
    ) -> ListedProvider:
        """Move a provider, enable or disable it; what is so already is not recorded again.

        `seen` is the order that the change was decided upon, by names: if it is another one by now, that is a
        ProviderConflict. Without it the last one wins.
        """
        if change == ProviderChange():
            raise InvalidRequest("Nothing was said to change; give priority or enabled.", field="body")
        async with self._turn:
            await self._up_to_date()
            one = self._found(name)
            self._refuse_other_order(seen)
            facts: list[Event] = []
            if change.priority is not None and _priority(change.priority) != one.priority:
                facts.append(ProviderMoved(provider=name, priority=change.priority, by=by))
            if change.enabled is not None and change.enabled != one.is_enabled:
                switch = ProviderEnabled if change.enabled else ProviderDisabled
                facts.append(switch(provider=name, by=by))
            if facts:
                await self._record(*facts)
            return self._listed(self._found(name))

    async def remove(self, name: str, *, by: str) -> ListedProvider:
        """Have a provider no more that was registered at run time; returns it as it was.

        Calls that are under way there end as they would have.
        """
        async with self._turn:
            await self._up_to_date()
            was = self._listed(self._found(name))
            if not self._said(name).kind:
                raise ProviderConflict(
                    f"{name} is a provider of the settings and cannot be removed here: disable it, or take "
                    "it out of AMOS_PROVIDERS."
                )
            await self._record(ProviderRemoved(provider=name, by=by))
            return was

    async def _up_to_date(self) -> None:
        """Know what others have changed, as far as it can be known. Raises EventLogUnavailable."""
        if not self._book.fault:  # else it is looked for again every few seconds, and nobody waits for that
            await self._book.refresh()
        self._book.require_known()

    async def _record(self, *facts: Event) -> None:
        await self._book.take(await self._recorder.confirm_facts(PROVIDERS_STREAM, *facts))

    def _refuse_conflict(self, wish: ProviderWish) -> None:
        """Raises ProviderConflict if the name is taken, InvalidRequest if there are too many."""
        if wish.name in self._book.of_settings:
            raise ProviderConflict(
                f"{wish.name} is a provider of the settings, which say what it is; take another name, or "
                "take it out of AMOS_PROVIDERS. It can be moved, disabled and enabled here."
            )
        taken = {name for name, said in self._book.changes.items() if said.kind}
        if wish.name in taken and not wish.replace:
            raise ProviderConflict(
                f"There is a provider {wish.name} already; take another name, or say replace."
            )
        if len(taken | {wish.name}) > limits.PROVIDERS_MAX:
            raise InvalidRequest(f"There are {limits.PROVIDERS_MAX} such providers already; remove some.")

    def _refuse_other_order(self, seen: Sequence[str]) -> None:
        now = [one.name for one in self._roster.registrations]
        if seen and list(seen) != now:
            raise ProviderConflict(
                f"The list was changed meanwhile: it is {', '.join(now)} now. Look at it again first."
            )

    def _found(self, name: str) -> Registration:
        for one in self._roster.registrations:
            if one.name == name:
                return one
        raise ProviderNotFound("There is no provider of this name.")

    def _said(self, name: str) -> Said:
        return self._book.changes.get(name, Said())

    def _last_place(self) -> int:
        """Behind all who search the web, before those that stand in for it."""
        stand_ins = {one.name for one in self._roster.providers if not one.schemes & WEB_SCHEMES}
        all_ = self._roster.registrations
        last = max((one.priority for one in all_ if one.name not in stand_ins), default=0)
        behind = [one.priority for one in all_ if one.name in stand_ins and one.priority > last]
        return (last + min(behind)) // 2 if behind else min(last + PRIORITY_STEP, PRIORITY_MAX)

    def _listed(self, one: Registration) -> ListedProvider:
        reason = self._roster.reasons.get(one.name, "")
        status: Literal["serving", "disabled", "unconfigured"]
        status = "disabled" if not one.is_enabled else "unconfigured" if reason else "serving"
        is_of_settings = one.name in self._book.of_settings
        said = self._said(one.name)
        detail = reason
        if is_of_settings and said.kind:
            detail = f"{reason} It was registered at run time too; what the settings say counts.".strip()
        return ListedProvider(
            name=one.name,
            kind=one.kind,
            priority=one.priority,
            enabled=one.is_enabled,
            source="settings" if is_of_settings else "runtime",
            options=shown_options(one.options, self._is_secret),
            status=status,
            detail=detail,
            since=said.at or None,
            by=said.by,
        )


def _priority(value: int) -> int:
    if not 0 <= value <= PRIORITY_MAX:
        raise InvalidRequest(f"priority: expected 0 to {PRIORITY_MAX}.", field="priority")
    return value


def _schema(options: type[msgspec.Struct]) -> Mapping[str, Any]:
    try:
        return msgspec.json.schema(options)
    except Exception:  # noqa: BLE001 - a type of a plug-in may be anything, and JSON Schema has no word for all
        return {"type": "object"}
