"""Which providers there are: those of the settings, overlaid by what was said at run time, anywhere.

What was said is in the event log, in the stream `providers`, and nowhere else. Every process looks there
every `REFRESH_S`, so all instances come to the same list: the order of the log decides, whoever was told
first. What this process itself has recorded is in force here at once, on top of what was read, until it is
read. While the database is away what was seen last stays in force.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import NamedTuple

from msgspec.structs import replace

from orchestrator.background import running
from orchestrator.errors import EventLogUnavailable
from orchestrator.events import Envelope
from orchestrator.ports import Clock, FactReader
from orchestrator.projections.registrations import Changes, Registrations, Said
from orchestrator.providers.registry import Registration
from orchestrator.roster import Roster

REFRESH_S = 2.0
"""chosen: a change is in force everywhere within seconds; a look reads an index and finds nothing."""

LOOK_S_MAX = 2.5
"""chosen: a database that takes longer counts as away, for this look and for a start."""

_NEVER_SEEN = "What was registered at run time could not be read since the start"

_log = logging.getLogger("amos.providers")


def _and(known: Changes, said: Iterable[Envelope]) -> Changes:
    """What is known, and what was said since."""
    return reduce(Registrations().evolve, said, known)


class _Read(NamedTuple):
    """What was read of the log up to a position; `own_read` is the number of the last frame of ours in it."""

    position: int
    changes: Changes
    own_read: int


class RegistrationBook:
    """Keeps the roster as settings and log say. `start` and `aclose` frame its life; for one event loop.

    `instance` is the name of this process's own series of frames. `only` is the one provider to have, `""`
    for all.
    """

    def __init__(
        self,
        settings: Sequence[Registration],
        log: FactReader,
        roster: Roster,
        clock: Clock,
        *,
        instance: str,
        only: str = "",
    ) -> None:
        self.roster = roster
        self._settings = tuple(settings)
        self._log = log
        self._clock = clock
        self._instance = instance
        self._only = only
        self._position: int | None = None
        self._read: Changes = {}
        self._own: tuple[Envelope, ...] = ()  # in force here, and not yet read from the log
        self._own_read = 0  # the number of the last of ours that was
        self._halfway: _Read | None = None
        self._turn = asyncio.Lock()
        self._life = contextlib.AsyncExitStack()
        self.changes: Changes = {}
        """What was said at run time and is in force."""
        self.fault = ""
        """Why the last look failed, `""` if it did not."""
        self.since = clock.now()
        """Since when `fault` is as it is, epoch seconds."""

    @property
    def is_known(self) -> bool:
        """Whether the log has been read since the start."""
        return self._position is not None

    @property
    def of_settings(self) -> frozenset[str]:
        """The names of the providers of the settings."""
        return frozenset(one.name for one in self._settings)

    def require_known(self) -> None:
        """Raises EventLogUnavailable before the log was read: nobody knows what a change would change."""
        if not self.is_known:
            raise EventLogUnavailable(f"{_NEVER_SEEN}, so nothing can be changed yet: {self.fault}")

    async def start(self) -> None:
        """Look what was said, within `LOOK_S_MAX`, and begin to look again and again."""
        await self.refresh()
        await self._life.enter_async_context(running(self._run(), "looking for providers"))

    async def aclose(self) -> None:
        """End looking. Safe to call twice."""
        await self._life.aclose()

    async def refresh(self) -> None:
        """Have in force what is in the log by now. Never raises; `fault` says what went wrong."""
        # One at a time: a slow look must not put older changes over newer ones.
        async with self._turn:
            halfway = self._halfway
            try:
                async with asyncio.timeout(LOOK_S_MAX):
                    await self._look()
            except TimeoutError:
                if self._halfway is halfway:
                    self._halfway = None
                self._failed(f"The database took longer than {LOOK_S_MAX:g} s.")
            except EventLogUnavailable as error:
                self._halfway = None
                self._failed(error.message)
            else:
                if self.fault:
                    self.fault, self.since = "", self._clock.now()
                    _log.warning("what was said of providers at run time can be read again")
            await self._apply()

    async def take(self, envelopes: Iterable[Envelope]) -> None:
        """Have facts in force that this process has made durable."""
        self._own += tuple(envelope for envelope in envelopes if envelope.seq > self._own_read)
        await self._apply()

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(REFRESH_S)
            try:
                await self.refresh()
            except Exception as error:  # noqa: BLE001 - without this task no change would arrive any more
                _log.error("the look for providers has failed", exc_info=error)
                self._failed(f"{type(error).__name__} while looking for providers.")

    async def _look(self) -> None:
        # From the beginning after a fault: what answers now may be another database.
        # But a look that only ran out of time goes on where it was, or a long history would never be known.
        known = self._position or 0
        seen = _Read(0, {}, 0) if self.fault else _Read(known, self._read, self._own_read)
        seen, is_last = self._halfway or seen, False
        while not is_last:
            page = await self._log.read(seen.position)
            own = [frame.events[-1].seq for frame in page.frames if frame.instance == self._instance]
            lines = (line for frame in page.frames for line in frame.events)
            seen = _Read(page.position, _and(seen.changes, lines), max([seen.own_read, *own]))
            is_last, self._halfway = page.is_last, seen
        self._halfway = None
        if seen.position < known:
            raise EventLogUnavailable("The database has lost what was said of providers.")
        self._position, self._read, self._own_read = seen
        self._own = tuple(envelope for envelope in self._own if envelope.seq > self._own_read)

    async def _apply(self) -> None:
        """Let the roster have what is in force now, if it has not."""
        while True:
            changes = _and(self._read, self._own)
            wanted = tuple(one for one in in_force(self._settings, changes) if self._only in {"", one.name})
            await self.roster.prepare(one.kind for one in wanted)
            if changes == _and(self._read, self._own):
                break  # else another change came meanwhile
        self.changes = changes
        if wanted != self.roster.registrations:
            self.roster.use(wanted)

    def _failed(self, why: str) -> None:
        if not self.fault:
            self.since = self._clock.now()
            _log.warning("what was said of providers at run time cannot be read: %s", why)
        self.fault = why


def in_force(settings: Iterable[Registration], changes: Changes) -> tuple[Registration, ...]:
    """All registrations, in the order in which they are asked.

    A name that the settings have is theirs: kind and options are what they say, whatever was registered under
    it before they did; place and switch are what was said last.
    """
    ours = {one.name: _overlaid(one, changes.get(one.name, Said())) for one in settings}
    theirs = [
        Registration(
            name=name,
            kind=said.kind,
            priority=said.priority or 0,
            options=dict(said.options),
            is_enabled=said.is_enabled is not False,
        )
        for name, said in changes.items()
        if said.kind and name not in ours
    ]
    return tuple(sorted([*ours.values(), *theirs], key=lambda one: (one.priority, one.name)))


def _overlaid(one: Registration, said: Said) -> Registration:
    return replace(
        one,
        priority=one.priority if said.priority is None else said.priority,
        is_enabled=one.is_enabled if said.is_enabled is None else said.is_enabled,
    )
