"""Registrations for tests: a kind whose providers are scripted, and a log in memory that can be away."""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator.clock import SystemClock
from orchestrator.errors import EventLogUnavailable
from orchestrator.events import Event, Frame
from orchestrator.facts import PROVIDERS_STREAM
from orchestrator.ports import Clock, FactPage
from orchestrator.provider_admin import ProviderAdmin
from orchestrator.providers.registry import Kinds, ProviderKind, Registration, Tools, Unconfigured
from orchestrator.recorder import Recorder
from orchestrator.registrations import RegistrationBook
from orchestrator.roster import Roster
from tests.support.histories import NOON, numbered
from tests.support.memory_journal import MemoryJournal
from tests.support.scripted_provider import ScriptedProvider

PAGE = 2
"""Frames of a page: few, so that tests read several."""


class EngineOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options of the kind `engine`; `results` 0 lacks a secret."""

    url: str = "http://engine.internal"
    results: int = 1
    extra: Any = None


ENGINE: ProviderKind[EngineOptions] = ProviderKind(
    summary="A scripted engine.",
    options=EngineOptions,
    make=lambda name, options, _tools: (
        ScriptedProvider(name, [options.results])
        if options.results
        else Unconfigured(name=name, reason="There is no secret.")
    ),
)

SETTINGS = (
    Registration(name="first", kind="engine", priority=100),
    Registration(name="local", kind="engine", priority=200),
)
"""What the settings of a test name: an engine of the web, and one that has files."""


class MemoryFacts:
    """A FactReader over frames in memory, a position each. `fault` makes it fail, `delay_s` hang."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.fault = ""
        self.delay_s = 0.0
        self.looks = 0

    async def read(self, after: int) -> FactPage:
        """The next frames."""
        self.looks += 1
        if self.delay_s:
            await SystemClock().sleep(self.delay_s)
        if self.fault:
            raise EventLogUnavailable(self.fault)
        found = self.frames[after : after + PAGE]
        return FactPage(position=after + len(found), frames=tuple(found), is_last=len(found) < PAGE)

    def say(self, *events: Event, instance: str = "elsewhere", first: int = 1) -> None:
        """Another instance has recorded this, and it is in the log now."""
        self.frames.append(
            Frame(
                instance=instance,
                instance_seq=len(self.frames) + 1,
                stream=PROVIDERS_STREAM,
                recorded_at=NOON,
                events=numbered(events, first=first),
            )
        )


class Instance:
    """One instance with all that belongs to its list of providers. Must be made on a running event loop.

    `drain` brings what it has recorded into the log, as its recorder process does a moment later.
    """

    def __init__(
        self, log: MemoryFacts | None = None, clock: Clock | None = None, name: str = "here"
    ) -> None:
        self.clock = clock or SystemClock()
        self.log = log or MemoryFacts()
        self.journal = MemoryJournal(name)
        self.recorder = Recorder(self.journal, self.clock)
        self.roster = Roster(Kinds({"engine": ENGINE}, ()), Tools(clock=self.clock))
        self.roster.use(SETTINGS)
        self.book = RegistrationBook(SETTINGS, self.log, self.roster, self.clock, instance=name)
        self.admin = ProviderAdmin(self.book, self.recorder, is_secret=lambda text: "hush-hush" in text)
        self._drained = 0

    def drain(self) -> None:
        """What was recorded so far is in the log."""
        frames = self.journal.of(PROVIDERS_STREAM)
        self.log.frames += frames[self._drained :]
        self._drained = len(frames)

    @property
    def asked(self) -> list[str]:
        """Who is asked, in order."""
        return [provider.name for provider in self.roster.providers]

    async def aclose(self) -> None:
        """Let everything go."""
        await self.book.aclose()
        await self.recorder.aclose()
        await self.roster.aclose()
