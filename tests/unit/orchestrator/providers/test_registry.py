"""Which kinds of providers there are, and what becomes of a registration."""

from __future__ import annotations

import asyncio
import time
from importlib.metadata import EntryPoint

import msgspec
import pytest

from orchestrator.clock import SystemClock
from orchestrator.errors import InvalidRequest
from orchestrator.health import plugins_health
from orchestrator.providers.guard import BLOCKED_S, Guarded
from orchestrator.providers.registry import (
    GROUP,
    Kinds,
    ProviderKind,
    Registration,
    Tools,
    Unconfigured,
)
from tests.support.facts import Facts
from tests.support.scripted_provider import ScriptedProvider

TOOLS = Tools(clock=SystemClock())


FAULTS = {-1: RuntimeError("a stranger's fault"), -2: asyncio.CancelledError(), -3: SystemExit(3)}
HOLDS_THE_LOOP = 100


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """What the test's kind asks for."""

    results: int = 1


def make(name, options, _tools):
    """A provider with as many results as the options say; none at all is a credential that is missing."""
    if options.results < 0:
        raise FAULTS[options.results]
    if options.results > HOLDS_THE_LOOP:
        time.sleep(BLOCKED_S * 1.5)
    if not options.results:
        return Unconfigured(name=name, reason="Nothing to find.")
    return ScriptedProvider(name, [options.results])


SCRIPTED = ProviderKind(summary="Finds what it is told to.", options=Options, make=make)
NO_KIND = "not a ProviderKind"
ODD_OPTIONS = ProviderKind(summary="", options=dict, make=make)
NO_MAKER = ProviderKind(summary="", options=Options, make=None)


def plugin(name, value=f"{__name__}:SCRIPTED"):
    """An entry point as an installed package has it."""
    return EntryPoint(name=name, value=value, group=GROUP)


@pytest.fixture
def importable(monkeypatch, tmp_path):
    """This module under its name, which pytest's way of importing leaves out, and one that ends Python."""
    import sys  # noqa: PLC0415

    (tmp_path / "this_module_exits.py").write_text("raise SystemExit(1)")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this())


def _this():
    import types  # noqa: PLC0415

    module = types.ModuleType(__name__)
    for name in ("SCRIPTED", "NO_KIND", "ODD_OPTIONS", "NO_MAKER"):
        setattr(module, name, globals()[name])
    return module


def test_a_registration_becomes_a_provider():
    """The provider has the name of the registration and what its options say."""
    kinds = Kinds({"scripted": SCRIPTED}, ())

    provider = kinds.make(
        Registration(name="mine", kind="scripted", priority=1, options={"results": 3}), TOOLS
    )

    assert provider.name == "mine"


@pytest.mark.parametrize(
    ("options", "fault"),
    [({"results": "3"}, "results"), ({"resluts": 3}, "resluts"), ({"results": None}, "results")],
)
def test_bad_options_are_refused_by_name(options, fault):
    """A wrong type and an unknown name are faults of whoever registers, and the message says which."""
    kinds = Kinds({"scripted": SCRIPTED}, ())

    with pytest.raises(InvalidRequest, match=fault):
        kinds.make(Registration(name="mine", kind="scripted", priority=1, options=options), TOOLS)


def test_what_is_missing_is_told():
    """A provider without its credential is no error."""
    kinds = Kinds({"scripted": SCRIPTED}, ())

    made = kinds.make(Registration(name="mine", kind="scripted", priority=1, options={"results": 0}), TOOLS)

    assert made == Unconfigured(name="mine", reason="Nothing to find.")


@pytest.mark.parametrize("which", FAULTS)
def test_a_maker_that_raises_harms_nobody(which):
    """What a stranger's code raises is a provider that could not be made, and ends nobody's task."""
    kinds = Kinds({"scripted": SCRIPTED}, ())
    wish = Registration(name="mine", kind="scripted", priority=1, options={"results": which})

    made = kinds.make(wish, TOOLS)

    assert made == Unconfigured(name="mine", reason=f"It could not be made: {type(FAULTS[which]).__name__}.")


@pytest.mark.usefixtures("importable")
def test_a_maker_that_holds_the_loop_is_found_out(caplog):
    """Providers are made on the event loop, so nobody else is served until one is: that is told of."""
    kinds, facts = Kinds({}, (plugin("wiki"),)), Facts()
    wish = Registration(name="mine", kind="wiki", priority=1, options={"results": HOLDS_THE_LOOP + 1})

    made = kinds.make(wish, Tools(clock=SystemClock(), facts=facts))

    assert "held the event loop" in made.complaint.detail
    assert facts.kinds() == ["ProviderBlockedLoop"]
    assert "the provider mine held the event loop" in caplog.text


def test_an_unknown_kind_is_refused():
    """The message tells the kinds there are."""
    with pytest.raises(InvalidRequest, match="there are scripted"):
        Kinds({"scripted": SCRIPTED}, ()).of("bing")


@pytest.mark.usefixtures("importable")
def test_a_plug_in_is_a_kind():
    """Its entry point's name is the kind."""
    kinds = Kinds({}, (plugin("wiki"),))

    assert kinds.names == ("wiki",)
    assert kinds.of("wiki") is SCRIPTED


@pytest.mark.usefixtures("importable")
@pytest.mark.parametrize(
    ("plugins", "fault"),
    [
        ([plugin("wiki"), plugin("wiki")], "There are 2 plug-ins called wiki"),
        ([plugin("Wiki!")], "needs a name of lower-case letters"),
        ([plugin("wiki", "no_such_module:KIND")], "cannot be loaded: ModuleNotFoundError"),
        ([plugin("wiki", f"{__name__}:NO_KIND")], "is no ProviderKind"),
        ([plugin("wiki", f"{__name__}:ODD_OPTIONS")], "has options that are no msgspec.Struct"),
        ([plugin("wiki", f"{__name__}:NO_MAKER")], "has no summary, or no `make`"),
        ([plugin("wiki", "this_module_exits:KIND")], "cannot be loaded: SystemExit"),
    ],
)
def test_a_broken_plug_in_says_why(plugins, fault):
    """It does not exist as a kind, and whoever asks for it learns the reason."""
    kinds = Kinds({"scripted": SCRIPTED}, plugins)

    with pytest.raises(InvalidRequest, match=fault):
        kinds.of(plugins[0].name)
    assert kinds.names == ("scripted",)


def test_a_plug_in_never_stands_in_for_a_kind_of_amos(caplog):
    """One that has the name of a built-in kind is passed over, and the log says so."""
    kinds = Kinds({"scripted": SCRIPTED}, (plugin("scripted", "no_such_module:KIND"),))

    assert kinds.of("scripted") is SCRIPTED
    assert kinds.shadowed == ("scripted",)
    assert "not used" in caplog.text


@pytest.mark.usefixtures("importable")
def test_what_a_plug_in_makes_is_guarded():
    """A stranger's provider is called behind a guard; our own are called as they are."""
    kinds = Kinds({"scripted": SCRIPTED}, (plugin("wiki"),))

    def made(kind):
        return kinds.make(Registration(name="mine", kind=kind, priority=1), TOOLS)

    assert isinstance(made("wiki"), Guarded)
    assert isinstance(made("scripted"), ScriptedProvider)


@pytest.mark.usefixtures("importable")
def test_who_has_plugins_hears_of_them():
    """Health speaks of plug-ins only where there are some, and then of each that is of no use."""
    kinds = Kinds({"scripted": SCRIPTED}, (plugin("Wiki!"), plugin("scripted"), plugin("wiki")))
    seen = plugins_health(kinds, 7.0)

    assert not Kinds({"scripted": SCRIPTED}, ()).has_plugins
    assert (seen.status, seen.since) == ("degraded", 7.0)
    assert "The plug-in Wiki! needs a name" in seen.detail
    assert "The plug-in scripted is not used" in seen.detail
    assert plugins_health(Kinds({}, (plugin("wiki"),)), 7.0).status == "ok"
