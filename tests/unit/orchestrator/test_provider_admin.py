"""What may be done to the list of providers: what is refused changes and records nothing."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator import limits
from orchestrator.errors import EventLogUnavailable, InvalidRequest, ProviderConflict, ProviderNotFound
from orchestrator.facts import (
    PROVIDERS_STREAM,
    ProviderDisabled,
    ProviderEnabled,
    ProviderMoved,
    ProviderRegistered,
    ProviderRemoved,
)
from orchestrator.provider_admin import ProviderChange, ProviderWish
from orchestrator.providers.registry import PRIORITY_MAX
from tests.support.clock import LoopClock
from tests.support.providers import Instance


@pytest.fixture
async def here():
    """An instance that knows what was said, which is nothing."""
    instance = Instance(clock=LoopClock())
    await instance.book.start()
    yield instance
    await instance.aclose()


def wish(name="wiki", kind="engine", **fields):
    """What a provider shall be."""
    return ProviderWish(name=name, kind=kind, **fields)


def recorded(instance):
    """What was recorded."""
    return instance.journal.events(PROVIDERS_STREAM)


async def test_a_provider_is_registered(here):
    """It is recorded with all it is made of and asked from then on, by itself before own documents."""
    made = await here.admin.register(wish(options={"results": 2}), by="boss")

    assert (made.name, made.source, made.status, made.by) == ("wiki", "runtime", "serving", "boss")
    assert here.asked == ["first", "wiki", "local"]
    assert recorded(here) == [
        ProviderRegistered(provider="wiki", kind="engine", priority=150, options={"results": 2}, by="boss")
    ]


async def test_one_that_lacks_something_is_registered_and_says_what(here):
    """A secret may come later; until then the list tells what is missing."""
    made = await here.admin.register(wish(options={"results": 0}), by="boss")

    assert (made.status, made.detail) == ("unconfigured", "There is no secret.")


async def test_moving_and_switching(here):
    """Both at once are one frame; what is so already is not recorded again; the list is in order."""
    await here.admin.register(wish(), by="boss")
    changed = await here.admin.change("wiki", ProviderChange(priority=5, enabled=False), by="chief")
    again = await here.admin.change("wiki", ProviderChange(priority=5, enabled=False), by="other")
    assert changed == again
    assert (changed.status, changed.by) == ("disabled", "chief")
    await here.admin.change("wiki", ProviderChange(enabled=True), by="chief")

    assert [one.name for one in here.admin.list()] == ["wiki", "first", "local"]
    assert recorded(here)[1:] == [
        ProviderMoved(provider="wiki", priority=5, by="chief"),
        ProviderDisabled(provider="wiki", by="chief"),
        ProviderEnabled(provider="wiki", by="chief"),
    ]
    assert len(here.journal.of(PROVIDERS_STREAM)) == 3


async def test_one_of_the_settings_is_moved_and_disabled(here):
    """What the settings name can be told its place and its switch."""
    await here.admin.change("first", ProviderChange(priority=900), by="boss")
    assert here.asked == ["local", "first"]

    await here.admin.change("first", ProviderChange(enabled=False), by="boss")

    assert here.asked == ["local"]
    assert [one.source for one in here.admin.list()] == ["settings", "settings"]


async def test_removing(here):
    """What was registered can be removed, once; its last state is told."""
    await here.admin.register(wish(), by="boss")

    gone = await here.admin.remove("wiki", by="boss")

    assert (gone.name, gone.status) == ("wiki", "serving")
    assert here.asked == ["first", "local"]
    assert recorded(here)[-1] == ProviderRemoved(provider="wiki", by="boss")
    with pytest.raises(ProviderNotFound):
        await here.admin.remove("wiki", by="boss")


@pytest.mark.parametrize(
    ("made", "error", "words"),
    [
        (wish(name="first"), ProviderConflict, "of the settings"),
        (wish(name="first", replace=True), ProviderConflict, "of the settings"),
        (wish(name="Wiki"), InvalidRequest, "name: expected 1 to 32 lower-case"),
        (wish(name="w" * 33), InvalidRequest, "name: expected"),
        (wish(kind="unheard_of"), InvalidRequest, "There is no kind"),
        (wish(priority=-1), InvalidRequest, "priority: expected 0 to"),
        (wish(priority=PRIORITY_MAX + 1), InvalidRequest, "priority: expected 0 to"),
        (wish(options={"results": "many"}), InvalidRequest, "options: Expected `int`"),
        (wish(options={"nonsense": 1}), InvalidRequest, "options: Object contains unknown field"),
        (wish(options={"url": "http://user:word@host/"}), InvalidRequest, "options.url: holds a secret"),
    ],
)
async def test_what_cannot_be_is_refused(here, made, error, words):
    """Which field is wrong, or what is in the way; nothing is recorded and nobody is asked."""
    with pytest.raises(error, match=words):
        await here.admin.register(made, by="boss")

    assert recorded(here) == []
    assert here.asked == ["first", "local"]


async def test_a_name_is_taken_until_somebody_says_replace(here):
    """A second registration of a name is a conflict; with replace it is the one that counts."""
    await here.admin.register(wish(), by="boss")
    with pytest.raises(ProviderConflict, match="say replace"):
        await here.admin.register(wish(options={"results": 3}), by="boss")

    replaced = await here.admin.register(wish(options={"results": 3}, replace=True), by="boss")

    assert replaced.options == {"results": 3}
    assert len(recorded(here)) == 2


async def test_two_who_register_at_once(here):
    """Of two with the same name on one instance one is told of the other."""
    ends = await asyncio.gather(
        *(here.admin.register(wish(), by=by) for by in ("boss", "chief")), return_exceptions=True
    )

    assert [type(end).__name__ for end in ends] == ["ListedProvider", "ProviderConflict"]
    assert len(recorded(here)) == 1


async def test_unknown_names_and_empty_changes(here):
    """There is nothing to change about nobody, and nothing in a change that says nothing."""
    for act in (
        here.admin.change("wiki", ProviderChange(enabled=True), by="boss"),
        here.admin.remove("wiki", by="boss"),
    ):
        with pytest.raises(ProviderNotFound):
            await act
    with pytest.raises(InvalidRequest, match="give priority or enabled"):
        await here.admin.change("first", ProviderChange(), by="boss")
    with pytest.raises(ProviderConflict, match="AMOS_PROVIDERS"):
        await here.admin.remove("first", by="boss")

    assert recorded(here) == []


async def test_there_is_a_most(here, monkeypatch):
    """One more than there may be is refused; the place of one that is there may be taken."""
    monkeypatch.setattr(limits, "PROVIDERS_MAX", 2)
    for name in ("one", "two"):
        await here.admin.register(wish(name), by="boss")

    with pytest.raises(InvalidRequest, match="2 such providers already"):
        await here.admin.register(wish("three"), by="boss")

    await here.admin.register(wish("two", replace=True), by="boss")


async def test_what_cannot_be_recorded_does_not_happen(here):
    """With a journal that is full every change is refused, and the list is as it was."""
    await here.admin.register(wish(), by="boss")
    before = here.admin.list()
    here.journal.is_full = True

    for act in (
        here.admin.register(wish("papers"), by="boss"),
        here.admin.change("wiki", ProviderChange(priority=1), by="boss"),
        here.admin.change("first", ProviderChange(enabled=False), by="boss"),
        here.admin.remove("wiki", by="boss"),
    ):
        with pytest.raises(EventLogUnavailable):
            await act
    await here.book.refresh()

    assert here.admin.list() == before
    here.journal.is_full = False
    await here.admin.change("wiki", ProviderChange(priority=1), by="boss")
    assert here.asked[0] == "wiki"


async def test_others_are_heard_before_anything_is_decided(here):
    """What another instance has registered meanwhile is a conflict here too."""
    here.log.say(ProviderRegistered(provider="wiki", kind="engine", priority=1, by="other"))

    with pytest.raises(ProviderConflict):
        await here.admin.register(wish(), by="boss")


async def test_a_name_the_settings_have_taken_over(here):
    """What was registered before the settings named it is told, and can be removed; theirs stays."""
    here.log.say(ProviderRegistered(provider="first", kind="other", priority=1, by="boss"))
    await here.book.refresh()
    (first, *_) = here.admin.list()
    assert (first.kind, first.source) == ("engine", "settings")
    assert "the settings say counts" in first.detail

    await here.admin.remove("first", by="boss")

    assert here.asked == ["first", "local"]
    assert here.admin.list()[0].detail == ""


async def test_kinds_are_told_with_their_options(here):
    """Whoever registers sees what there is and which options it takes."""
    (engine,) = await here.admin.kinds()

    assert (engine.name, engine.summary) == ("engine", "A scripted engine.")
    assert set(engine.options["$defs"]["EngineOptions"]["properties"]) == {"url", "results", "extra"}
