"""The providers of this process as they are now: made from registrations, and changed while calls go on.

A provider whose registration has not changed stays the same object, with its connections and its circuit. One
that has gone is closed when no call can be using it any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Sequence

from orchestrator import limits
from orchestrator.errors import InvalidRequest
from orchestrator.ports import Provider
from orchestrator.providers.guard import Complaint, Guarded
from orchestrator.providers.registry import Kinds, Registration, Tools, Unconfigured

RETIRED_S = 2 * limits.STREAM_S_MAX
"""chosen: twice the longest call there is; only then a provider that has gone is closed."""

LOAD_S_MAX = 10.0
"""chosen: a plug-in whose import takes longer waits for something, and may do so for ever."""

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
        self.refused: dict[str, str] = {}
        """Those of them whose kind or options can never be, as against one that lacks a secret."""
        self.registrations: tuple[Registration, ...] = ()
        """All there are, in order, disabled ones too."""
        self._tools = tools
        self._made: dict[str, tuple[Registration, Provider]] = {}
        self._changed: Callable[[Sequence[Provider]], None] = lambda _providers: None
        self._retiring: dict[asyncio.Task[None], Provider] = {}

    @property
    def complaints(self) -> dict[str, Complaint]:
        """What providers did lately that no provider may, by their names."""
        guarded = (one for one in self.providers if isinstance(one, Guarded))
        return {one.name: one.complaint for one in guarded if one.complaint is not None}

    def identity(self, name: str) -> str:
        """What tells the provider of this name from others that had it, the same in all instances."""
        return self._made[name][0].identity if name in self._made else name

    def when_changed(self, act: Callable[[Sequence[Provider]], None]) -> None:
        """Call `act`, which must not wait, with the providers whenever they have changed."""
        self._changed = act

    async def prepare(self, kinds: Iterable[str]) -> None:
        """Import the plug-ins of these kinds beside the loop, so that nothing that follows waits for one.

        One that takes longer than `LOAD_S_MAX` is a kind that does not exist here.
        """
        for name in self.kinds.not_loaded(kinds):
            try:
                async with asyncio.timeout(LOAD_S_MAX):
                    await _beside(lambda name=name: self.kinds.of(name))  # type: ignore[misc]
            except TimeoutError:
                self.kinds.faults[name] = f"The plug-in {name} was not loaded within {LOAD_S_MAX:g} s."

    async def check(self, one: Registration) -> None:
        """See whether a provider can be made so; one that lacks its secret can. Raises InvalidRequest."""
        await self.prepare([one.kind])
        made = self._made_of(one)
        if not isinstance(made, Unconfigured):
            await _closed(made)

    def use(self, registrations: Iterable[Registration]) -> None:
        """Have exactly these providers from now on; never raises: one that cannot be made is left out."""
        self.registrations = tuple(sorted(registrations, key=lambda one: (one.priority, one.name)))
        made: dict[str, tuple[Registration, Provider]] = {}
        self.reasons, self.refused = {}, {}
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
            made = self._made_of(one)
        except InvalidRequest as error:
            self.reasons[one.name] = self.refused[one.name] = error.message
            return None
        if isinstance(made, Unconfigured):
            self.reasons[one.name] = made.reason
            return None
        return made

    def _made_of(self, one: Registration) -> Provider | Unconfigured:
        made = self.kinds.make(one, self._tools)
        if (
            made.name != one.name
        ):  # circuits, figures and bills go by the name: it must be that of one provider
            raise InvalidRequest(
                f"name: a provider of the kind {one.kind} cannot be called otherwise than {made.name}.",
                field="name",
            )
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
        # All at once: a process that ends is given some seconds, and a server that hangs takes one of them.
        await asyncio.gather(*(_closed(one) for one in (*retiring.values(), *self.providers)))


async def _closed(provider: Provider) -> None:
    try:
        await provider.aclose()
    except Exception as error:  # noqa: BLE001 - a stranger's provider may raise anything, and the others are to be closed
        _log.error("the provider %s could not be closed", provider.name, exc_info=error)


async def _beside(work: Callable[[], object]) -> None:
    """Do blocking work in a thread that nobody waits for at the end, and that may therefore hang."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def act() -> None:
        with contextlib.suppress(InvalidRequest):
            work()
        with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=act, name="importing a plug-in", daemon=True).start()
    await done.wait()
