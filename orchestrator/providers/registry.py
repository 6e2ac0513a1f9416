"""Which kinds of providers there are, and what a registration needs to become a provider.

A *kind* is a way to search: `tavily`, `jina`, `local`, `searxng`, `mcp`, or one that a plug-in brings. A
*registration* is one provider of a kind under a name of its own, with its place in the chain and its options.
Settings and the operator at run time both make registrations; orchestrator/roster.py makes providers of them.

A plug-in is a Python package with an entry point in the group `amos.providers`: its name is the kind, its
object a ProviderKind. It is imported when a registration first asks for it, so one that is broken harms
nobody else, and what it makes is called behind a guard (guard.py).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

import msgspec

from orchestrator.errors import InvalidRequest
from orchestrator.ports import PROVIDER_NAME, Clock, FactSink, Provider
from orchestrator.providers.guard import Guarded
from orchestrator.providers.soundness import flaw

GROUP = "amos.providers"
"""The group of entry points in which plug-ins offer their kinds."""

PRIORITY_STEP = 100
"""chosen: the first provider of the settings has this priority, the next twice as much: there is room
between."""

PRIORITY_MAX = 1_000_000
"""chosen: more than anybody needs, and an integer everywhere."""

OptionsT = TypeVar("OptionsT", bound=msgspec.Struct)

_log = logging.getLogger("amos.providers")


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """One provider of an installation: what it is called, of which kind it is, and where in the chain.

    The lowest `priority` is asked first. `options` are the kind's own, as JSON has them; they hold no
    secret, only names of secrets (see `Tools.secret`).
    """

    name: str
    kind: str
    priority: int
    options: dict[str, Any] = {}
    is_enabled: bool = True

    @property
    def identity(self) -> str:
        """The name, and what tells it from another registration of that name: the same wherever this is."""
        if self.kind == self.name and not self.options:
            return self.name
        what = msgspec.json.encode([self.kind, self.options], order="deterministic")
        return f"{self.name}.{hashlib.sha256(what).hexdigest()[:16]}"


class Unconfigured(msgspec.Struct, frozen=True, kw_only=True):
    """A provider that cannot be called, and what is missing, e.g. `TAVILY_API_KEY is not set`."""

    name: str
    reason: str


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider is made with, beside its name and options.

    `secret` gives the secret of a name, `None` if the operator has set none: secrets are settings
    (`AMOS_PROVIDER_SECRETS`), and options only name them. `installation` marks calls to what may be a gateway
    itself (via.py); `""` marks none.
    """

    clock: Clock
    facts: FactSink | None = None
    secret: Callable[[str], str | None] = lambda _name: None
    installation: str = ""


class ProviderKind(msgspec.Struct, Generic[OptionsT], frozen=True, kw_only=True):
    """A kind of provider.

    `summary` says in one line what it searches. `options` is the type of its options, whose fields are
    checked by msgspec. `make(name, options, tools)` makes a provider of that name, or tells what is missing;
    it neither waits nor calls anybody, and may raise InvalidRequest for options that do not fit together.
    """

    summary: str
    options: type[OptionsT]
    make: Callable[[str, OptionsT, Tools], Provider | Unconfigured]


class NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options of a kind that has none."""


class Kinds:
    """Every kind of this installation. Reads entry points; imports a plug-in when it is asked for."""

    def __init__(
        self, built_in: Mapping[str, ProviderKind[Any]], plugins: Iterable[EntryPoint] | None = None
    ) -> None:
        self._kinds = dict(built_in)
        found = tuple(entry_points(group=GROUP) if plugins is None else plugins)
        self._plugins = {plugin.name: plugin for plugin in found if plugin.name not in built_in}
        self.faults = _faults(found, built_in)
        """What is wrong with plug-ins, by the name of the kind; such a kind does not exist."""
        self.shadowed = tuple(sorted({plugin.name for plugin in found} & built_in.keys()))
        """Plug-ins that are not used because a kind of AMOS itself has their name."""

    @property
    def names(self) -> tuple[str, ...]:
        """The kinds there are, broken plug-ins left out, in alphabetical order."""
        return tuple(sorted((self._kinds.keys() | self._plugins.keys()) - self.faults.keys()))

    @property
    def has_plugins(self) -> bool:
        """Whether any plug-in is installed, of use or not."""
        return bool(self._plugins or self.shadowed)

    def of(self, name: str) -> ProviderKind[Any]:
        """The kind of this name. Raises InvalidRequest, which says what there is or why it cannot be had."""
        kind = self._kinds.get(name)
        if kind is None and name in self._plugins and name not in self.faults:
            kind = self._loaded(name)
        if kind is None:
            fault = self.faults.get(name)
            raise InvalidRequest(
                fault or f"There is no kind of provider of this name; there are {', '.join(self.names)}.",
                field="kind",
            )
        return kind

    def not_loaded(self, names: Iterable[str]) -> list[str]:
        """Those of the names whose plug-in is still to be imported."""
        seen = self._kinds.keys() | self.faults.keys()
        return sorted(self._plugins.keys() & set(names) - seen)

    def _loaded(self, name: str) -> ProviderKind[Any] | None:
        try:
            kind: Any = self._plugins[name].load()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's module may raise anything
            _log.error("the plug-in %s cannot be loaded", name, exc_info=error)
            self.faults[name] = f"The plug-in {name} cannot be loaded: {type(error).__name__}."
            return None
        if fault := _kind_fault(kind):
            self.faults[name] = f"The plug-in {name} {fault}."
            return None
        self._kinds[name] = kind
        return self._kinds[name]

    def make(self, registration: Registration, tools: Tools) -> Provider | Unconfigured:
        """The provider of a registration, or what is missing. Raises InvalidRequest for bad options."""
        kind = self.of(registration.kind)
        try:
            options = msgspec.convert(registration.options, kind.options)
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"options: {error}. {_offered(kind.options)}", field="options") from error
        except Exception as error:  # noqa: BLE001 - options may be a stranger's class
            return _unmade(registration.name, error)
        began = time.perf_counter()
        try:
            made = kind.make(registration.name, options, tools)
            if registration.kind not in self._plugins or isinstance(made, Unconfigured):
                return made
            if fault := flaw(made, registration.name):
                return Unconfigured(name=registration.name, reason=f"It is no provider: {fault}.")
            return Guarded(made, tools.clock, tools.facts, made_in_s=time.perf_counter() - began)
        except InvalidRequest:
            raise
        # A cancellation too: nobody waits here, so it is none of ours, and it would end the caller's task.
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001 - likewise
            return _unmade(registration.name, error)


def _unmade(name: str, error: BaseException) -> Unconfigured:
    _log.error("the provider %s cannot be made", name, exc_info=error)
    return Unconfigured(name=name, reason=f"It could not be made: {type(error).__name__}.")


def _offered(options: type[msgspec.Struct]) -> str:
    """The options there are, as a sentence."""
    names = [one.encode_name for one in msgspec.structs.fields(options)]
    return f"The options are {', '.join(names)}." if names else "There are no options."


def _kind_fault(kind: Any) -> str:
    """Why the object of an entry point is of no use, `""` if it is."""
    if not isinstance(kind, ProviderKind):
        return "is no ProviderKind"
    options: Any = kind.options
    rest: tuple[Any, Any] = kind.make, kind.summary
    if not (isinstance(options, type) and issubclass(options, msgspec.Struct)):
        return "has options that are no msgspec.Struct"
    return "" if callable(rest[0]) and isinstance(rest[1], str) else "has no summary, or no `make`"


def _faults(found: Iterable[EntryPoint], built_in: Mapping[str, Any]) -> dict[str, str]:
    """Plug-ins that cannot be told apart: none of them is used, rather than one by chance."""
    faults = {}
    for name, count in Counter(plugin.name for plugin in found).items():
        if name in built_in:
            _log.error("a plug-in is called %s like a kind of AMOS itself; it is not used", name)
        elif PROVIDER_NAME.fullmatch(name) is None:
            faults[name] = f"The plug-in {name} needs a name of lower-case letters, digits and _."
        elif count > 1:
            faults[name] = f"There are {count} plug-ins called {name}; uninstall all but one."
    return faults
