"""The providers of this process as they are now: made from registrations, and changed while calls go on.

A provider whose registration has not changed stays the same object, with its connections and its circuit. One
that has gone is closed when no call can be using it any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from orchestrator import limits
from orchestrator.errors import InvalidRequest
from orchestrator.ports import Provider
from orchestrator.providers.registry import Kinds, Registration, Tools, Unconfigured

RETIRED_S = 2 * limits.STREAM_S_MAX
"""chosen: twice the longest call there is; only then a provider that has gone is closed."""

_log = logging.getLogger("amos.providers")


class Roster:
    """Makes and keeps the providers. `use` and `aclose` belong to one event loop."""

    def __init__(self, kinds: Kinds, tools: Tools) -> None:
        self.kinds = kinds
        self.installation = tools.installation
        """The name that calls to other gateways carry (via.py)."""
        self.providers: tuple[Provider, ...] = ()
        """Those to ask, in order."""
        self.reasons: dict[str, str] = {}
        """Those left out, and why; one that was disabled is not among them."""
        self.registrations: tuple[Registration, ...] = ()
        """All there are, in order, disabled ones too."""
        self._tools = tools
        self._made: dict[str, tuple[Registration, Provider]] = {}
        self._changed: Callable[[Sequence[Provider]], None] = lambda _providers: None
        self._retiring: dict[asyncio.Task[None], Provider] = {}

    def when_changed(self, act: Callable[[Sequence[Provider]], None]) -> None:
        """Call `act`, which must not wait, with the providers whenever they have changed."""
        self._changed = act

    def use(self, registrations: Iterable[Registration]) -> None:
        """Have exactly these providers from now on; never raises: one that cannot be made is left out."""
        self.registrations = tuple(sorted(registrations, key=lambda one: (one.priority, one.name)))
        made: dict[str, tuple[Registration, Provider]] = {}
        self.reasons = {}
        for one in self.registrations:
            if one.is_enabled and (provider := self._provider(one)) is not None:
                made[one.name] = (one, provider)
        gone = [
            provider
            for name, (_, provider) in self._made.items()
            if made.get(name, (0, 0))[1] is not provider
        ]
        self._made = made
        self.providers = tuple(provider for _, provider in made.values())
        self._changed(self.providers)
        for provider in gone:
            task = asyncio.get_running_loop().create_task(self._retire(provider), name="retiring a provider")
            self._retiring[task] = provider
            task.add_done_callback(lambda done: self._retiring.pop(done, None))

    def _provider(self, one: Registration) -> Provider | None:
        """The provider there is if only its place has changed, else a new one; `None` if it cannot be."""
        was, provider = self._made.get(one.name, (None, None))
        if was is not None and (was.kind, was.options) == (one.kind, one.options):
            return provider
        try:
            made = self.kinds.make(one, self._tools)
        except InvalidRequest as error:
            self.reasons[one.name] = error.message
            return None
        if isinstance(made, Unconfigured):
            self.reasons[one.name] = made.reason
            return None
        return made

    async def _retire(self, provider: Provider) -> None:
        await self._tools.clock.sleep(RETIRED_S)
        await _closed(provider)

    async def aclose(self) -> None:
        """Release the connections of all providers, those that have gone too. Safe to call twice."""
        retiring = dict(self._retiring)
        for task in retiring:
            task.cancel()
        if retiring:
            await asyncio.wait(retiring)
        for provider in (*retiring.values(), *self.providers):
            await _closed(provider)


async def _closed(provider: Provider) -> None:
    try:
        await provider.aclose()
    except Exception as error:  # noqa: BLE001 - a stranger's provider may raise anything, and the others are to be closed
        _log.error("the provider %s could not be closed", provider.name, exc_info=error)
