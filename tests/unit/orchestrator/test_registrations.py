"""Settings and log together: how instances come to the same list, and what a database that is away means."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator import registrations
from orchestrator.errors import EventLogUnavailable
from orchestrator.facts import (
    PROVIDERS_STREAM,
    ProviderDisabled,
    ProviderMoved,
    ProviderRegistered,
    ProviderRemoved,
)
from orchestrator.projections.registrations import Said
from orchestrator.provider_admin import ProviderChange, ProviderWish
from orchestrator.providers.registry import Registration
from orchestrator.registrations import LOOK_S_MAX, REFRESH_S, in_force
from tests.support.clock import LoopClock
from tests.support.providers import SETTINGS, Instance, MemoryFacts

WIKI = ProviderRegistered(provider="wiki", kind="engine", priority=150, by="boss")


@pytest.fixture
async def here():
    """An instance whose clock is that of the loop."""
    instance = Instance(clock=LoopClock())
    yield instance
    await instance.aclose()


def names(registered):
    """The names, in order."""
    return [one.name for one in registered]


def test_the_settings_say_what_their_providers_are():
    """Of one of theirs only place and switch can be said elsewhere, also if it was registered before."""
    changes = {"first": Said(kind="other", options={"a": 1}, priority=300, is_enabled=False)}

    (local, first) = in_force(SETTINGS, changes)

    assert (local, first.kind, first.options) == (SETTINGS[1], "engine", {})
    assert (first.priority, first.is_enabled) == (300, False)


def test_what_was_said_of_nobody_is_nobody():
    """A provider the settings no longer name, and nobody registered, does not exist for being moved."""
    changes = {"gone": Said(priority=1), "wiki": Said(kind="engine", priority=150)}

    assert names(in_force(SETTINGS, changes)) == ["first", "wiki", "local"]


async def test_a_start_has_what_was_said_before(here):
    """A provider that was registered is asked from the first call on; there are several pages of history."""
    here.log.say(
        *(ProviderRegistered(provider=f"p{n}", kind="engine", priority=n, by="boss") for n in range(3))
    )
    for n in range(4):
        here.log.say(ProviderMoved(provider="p0", priority=1_000 + n, by="boss"))
    here.log.say(ProviderRemoved(provider="p1", by="boss"))

    await here.book.start()

    assert here.asked == ["p2", "first", "local", "p0"]
    assert here.roster.registrations[-1] == Registration(name="p0", kind="engine", priority=1_003)


async def test_what_others_say_is_in_force_within_seconds(here):
    """A change in the log is applied without anybody asking, and a look without news changes nothing."""
    await here.book.start()
    (first, local) = here.roster.providers
    here.log.say(WIKI)
    await asyncio.sleep(REFRESH_S + 0.1)
    assert here.asked == ["first", "wiki", "local"]

    await asyncio.sleep(3 * REFRESH_S)

    assert here.roster.providers[0] is first
    assert here.roster.providers[2] is local


async def test_what_is_recorded_here_is_in_force_at_once(here):
    """Before the log has it, and it stays so when the log does; each fact counts once."""
    await here.book.start()
    await here.admin.register(ProviderWish(name="wiki", kind="engine"), by="boss")
    assert here.asked == ["first", "wiki", "local"]

    here.drain()
    here.log.say(ProviderDisabled(provider="wiki", by="other"))
    await asyncio.sleep(REFRESH_S + 0.1)

    assert here.asked == ["first", "local"]


async def test_the_order_of_the_log_decides(here):
    """Two administrators at once: whose change comes later in the log has it, on both instances."""
    log = here.log
    there = Instance(log, LoopClock(), "there")
    await asyncio.gather(here.book.start(), there.book.start())
    wish = ProviderWish(name="wiki", kind="engine", priority=1)
    await here.admin.register(wish, by="boss")
    await there.admin.register(ProviderWish(name="wiki", kind="engine", priority=500), by="chief")
    assert (here.asked[0], there.asked[-1]) == ("wiki", "wiki")

    there.drain()
    await asyncio.sleep(REFRESH_S + 0.1)
    assert here.asked[0] == "wiki"  # its own is not in the log yet, and will come later
    here.drain()
    await asyncio.sleep(REFRESH_S + 0.1)

    assert here.roster.registrations == there.roster.registrations
    assert here.asked[0] == there.asked[0] == "wiki"
    await there.aclose()


async def test_a_fact_that_was_read_before_its_writer_heard_of_it_counts_once(here):
    """The log may be quicker than the answer of the journal; the fact is then not put on top of the log."""
    await here.book.start()
    envelopes = await here.recorder.confirm_facts(PROVIDERS_STREAM, WIKI)
    here.drain()
    here.log.say(ProviderRemoved(provider="wiki", by="other"))
    await here.book.refresh()

    await here.book.take(envelopes)

    assert here.asked == ["first", "local"]


async def test_a_database_that_goes_away_changes_nothing(here):
    """What was last seen stays in force, health can tell, and what was missed comes when it is back."""
    here.log.say(WIKI)
    await here.book.start()
    here.log.fault = "The event log is out of reach."
    here.log.say(ProviderDisabled(provider="first", by="other"))
    await asyncio.sleep(2 * REFRESH_S)
    assert here.asked == ["first", "wiki", "local"]
    assert here.book.fault == "The event log is out of reach."

    here.log.fault = ""
    await asyncio.sleep(REFRESH_S + 0.1)

    assert here.asked == ["wiki", "local"]
    assert here.book.fault == ""


async def test_changes_are_made_while_the_database_is_away(here):
    """A change needs the journal alone, once the list is known."""
    await here.book.start()
    here.log.fault = "The event log is out of reach."

    await here.admin.change("first", ProviderChange(enabled=False), by="boss")

    assert here.asked == ["local"]
    assert here.journal.kinds(PROVIDERS_STREAM) == [["ProviderDisabled"]]


async def test_a_start_does_not_wait_for_a_database(here):
    """It serves with the settings' providers, refuses changes, and has the others when they can be read."""
    here.log.say(WIKI)
    here.log.delay_s = 60.0
    begun = here.clock.monotonic()
    await here.book.start()

    assert here.clock.monotonic() - begun == pytest.approx(LOOK_S_MAX)
    assert here.asked == ["first", "local"]
    assert not here.book.is_known
    with pytest.raises(EventLogUnavailable, match="nothing can be changed yet"):
        await here.admin.change("first", ProviderChange(enabled=False), by="boss")
    assert here.journal.of(PROVIDERS_STREAM) == []

    here.log.delay_s = 0.0
    await asyncio.sleep(REFRESH_S + 0.1)
    assert here.asked == ["first", "wiki", "local"]


async def test_a_database_that_was_emptied_is_a_fault(here):
    """Nobody takes a fact back: a log that ends before where it was read is another one."""
    here.log.say(WIKI)
    await here.book.start()
    here.log.frames.clear()
    await asyncio.sleep(2 * REFRESH_S + 0.1)
    here.log.fault = "away"
    await asyncio.sleep(REFRESH_S)
    here.log.fault = ""
    await asyncio.sleep(2 * REFRESH_S)

    assert here.asked == ["first", "wiki", "local"]
    assert "lost" in here.book.fault


async def test_one_provider_alone(here):
    """A gateway that is to have one provider has that one, of the settings or registered, and no other."""
    log = MemoryFacts()
    log.say(WIKI)
    alone = Instance(log, LoopClock())
    book = registrations.RegistrationBook(
        SETTINGS, log, alone.roster, alone.clock, instance="alone", only="wiki"
    )

    await book.start()

    assert alone.asked == ["wiki"]
    await book.aclose()
    await alone.aclose()


async def test_a_kind_that_is_not_here_harms_nobody(here):
    """A provider of a plug-in that another instance has is told with the reason; the rest is asked."""
    here.log.say(ProviderRegistered(provider="odd", kind="unheard_of", priority=1, by="boss"), WIKI)

    await here.book.start()

    assert here.asked == ["first", "wiki", "local"]
    assert "no kind" in here.roster.reasons["odd"]


async def test_a_history_too_long_for_one_look_is_read_in_several(here):
    """Each look goes on where the last one ran out of time; nothing is in force before all is known."""
    here.log.say(WIKI)
    for n in range(10):
        here.log.say(ProviderMoved(provider="wiki", priority=n, by="boss"))
    here.log.say(ProviderDisabled(provider="first", by="boss"))
    here.log.delay_s = 1.0
    await here.book.start()
    assert (here.asked, here.book.is_known) == (["first", "local"], False)

    await asyncio.sleep(4 * (REFRESH_S + LOOK_S_MAX))

    assert (here.asked, here.book.fault) == (["wiki", "local"], "")


async def test_what_was_half_read_is_forgotten_when_the_database_goes(here):
    """What answers after a fault may be another database, so it is read from its first frame on."""
    for n in range(6):
        here.log.say(ProviderMoved(provider="local", priority=n, by="boss"))
    here.log.delay_s = 1.0
    await here.book.start()
    here.log.fault = "away"
    await asyncio.sleep(REFRESH_S + 1.5)
    here.log.frames.clear()
    here.log.say(WIKI)
    here.log.fault, here.log.delay_s = "", 0.0
    await asyncio.sleep(2 * REFRESH_S)

    assert here.asked == ["first", "wiki", "local"]
