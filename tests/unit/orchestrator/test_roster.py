"""The providers of a process, made from registrations and changed while it runs."""

from __future__ import annotations

import asyncio
import threading

import msgspec
import pytest

from orchestrator import roster as roster_module
from orchestrator.errors import InvalidRequest
from orchestrator.providers.registry import Kinds, ProviderKind, Registration, Tools, Unconfigured
from orchestrator.roster import RETIRED_S, Roster
from tests.support.clock import LoopClock
from tests.support.scripted_provider import ScriptedProvider


class Options(msgspec.Struct):
    """What the test's kind asks for."""

    results: int = 1


class Closing(ScriptedProvider):
    """Remembers that it was closed."""

    closed = 0

    async def aclose(self):
        """Count it."""
        self.closed += 1


def make(name, options, _tools):
    """A provider, unless it is to find nothing."""
    return (
        Closing(name, [options.results])
        if options.results
        else Unconfigured(name=name, reason="Nothing to find.")
    )


def registration(name, priority=100, *, is_enabled=True, kind="closing", **options):
    """One registration."""
    return Registration(name=name, kind=kind, priority=priority, options=options, is_enabled=is_enabled)


@pytest.fixture
def clock():
    """Time of the test."""
    return LoopClock()


@pytest.fixture
async def roster(clock):
    """An empty roster."""
    kinds = Kinds({"closing": ProviderKind(summary="", options=Options, make=make)}, ())
    roster = Roster(kinds, Tools(clock=clock))
    yield roster
    await roster.aclose()


def names(roster):
    """Who is asked, in order."""
    return [provider.name for provider in roster.providers]


async def test_the_lowest_priority_is_asked_first(roster):
    """Priorities decide the order, and names where they are equal."""
    roster.use([registration("c", 200), registration("b", 100), registration("a", 200)])

    assert names(roster) == ["b", "a", "c"]


async def test_who_is_left_out_has_a_reason(roster):
    """Unconfigured and impossible providers are told with the reason; disabled ones are just not asked."""
    roster.use(
        [
            registration("fine"),
            registration("off", is_enabled=False),
            registration("bare", results=0),
            registration("odd", kind="unheard_of"),
            registration("wrong", results="many"),
        ]
    )

    assert names(roster) == ["fine"]
    assert set(roster.reasons) == {"bare", "odd", "wrong"}
    assert "many" not in roster.reasons["wrong"]


async def test_what_has_not_changed_stays(roster):
    """A provider keeps its object, and with it its connections, when others come or its place changes."""
    roster.use([registration("a", 100)])
    (before,) = roster.providers

    roster.use([registration("b", 1), registration("a", 2)])

    assert roster.providers[1] is before


async def test_changed_options_make_a_new_provider(roster):
    """Options are what a provider is made of."""
    roster.use([registration("a", results=1)])
    (before,) = roster.providers

    roster.use([registration("a", results=2)])

    assert roster.providers[0] is not before


async def test_whoever_asks_hears_of_the_change(roster):
    """The chain is told the providers there are now."""
    heard = []
    roster.when_changed(heard.append)

    roster.use([registration("a")])
    roster.use([])

    assert [len(providers) for providers in heard] == [1, 0]


async def test_one_that_has_gone_is_closed_when_its_calls_are_over(roster, clock):
    """Calls under way end first; then its connections are released."""
    roster.use([registration("a")])
    (gone,) = roster.providers
    roster.use([])

    await asyncio.sleep(RETIRED_S - 1)
    assert gone.closed == 0
    await asyncio.sleep(2)
    assert gone.closed == 1


async def test_a_name_is_that_of_one_provider(clock):
    """A kind whose providers have a name of their own makes none under another: circuits go by the name."""
    kinds = Kinds({"fixed": ProviderKind(summary="", options=Options, make=lambda *_: Closing("fixed"))}, ())
    roster = Roster(kinds, Tools(clock=clock))
    roster.use([registration("fixed", kind="fixed"), registration("other", kind="fixed")])

    assert names(roster) == ["fixed"]
    assert "cannot be called otherwise than fixed" in roster.reasons["other"]
    await roster.aclose()


async def test_what_is_checked_is_closed_and_not_asked(roster):
    """Whether a provider can be made is found out by making one, of which nothing stays."""
    await roster.check(registration("a"))
    await roster.check(registration("bare", results=0))
    with pytest.raises(InvalidRequest, match="options"):
        await roster.check(registration("wrong", results="many"))

    assert names(roster) == []


async def test_a_plug_in_that_never_ends_its_import_is_given_up(clock, monkeypatch):
    """It is imported beside the loop; what takes too long is a kind that is not there, and nobody waits."""
    hanging = threading.Event()

    class Hanging:
        """An entry point whose module waits for something."""

        name = "hanging"

        def load(self):
            """Wait."""
            hanging.wait(20)

    monkeypatch.setattr(roster_module, "LOAD_S_MAX", 0.2)
    roster = Roster(Kinds({}, (Hanging(),)), Tools(clock=clock))
    try:
        with pytest.raises(InvalidRequest, match=r"was not loaded within 0\.2 s"):
            await roster.check(registration("a", kind="hanging"))
        roster.use([registration("a", kind="hanging")])
    finally:
        hanging.set()

    assert "was not loaded" in roster.reasons["a"]


async def test_the_end_closes_everybody(roster):
    """Those that wait to be closed are closed too."""
    roster.use([registration("a")])
    (gone,) = roster.providers
    roster.use([registration("b")])
    (here,) = roster.providers

    await roster.aclose()

    assert (gone.closed, here.closed) == (1, 1)


async def test_a_provider_is_told_from_another_of_its_name(roster):
    """Place and switch make no other of it, kind and options do; one without options goes by its name."""
    identities = []
    for one in (registration("a", 1), registration("a", 2), registration("a", results=2)):
        roster.use([one])
        identities.append(roster.identity("a"))

    assert identities[0] == identities[1] != identities[2]
    assert registration("closing").identity == "closing" == roster.identity("closing")


async def test_a_server_that_hangs_holds_up_no_other_at_the_end(clock):
    """All are closed at once, so many that take their time take it together."""

    class Slow(Closing):
        async def aclose(self):
            await clock.sleep(1.0)
            self.closed += 1

    slow = ProviderKind(summary="", options=Options, make=lambda name, _options, _tools: Slow(name, [1]))
    roster = Roster(Kinds({"slow": slow}, ()), Tools(clock=clock))
    roster.use([registration(f"gone{n}", kind="slow") for n in range(5)])
    providers = roster.providers
    roster.use([registration(f"here{n}", kind="slow") for n in range(5)])
    providers += roster.providers
    await asyncio.sleep(0)
    began = clock.monotonic()

    await roster.aclose()

    assert [one.closed for one in providers] == [1] * 10
    assert clock.monotonic() - began == pytest.approx(1.0, abs=0.1)
