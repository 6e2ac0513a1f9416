"""The order of the providers and what is missing."""

from __future__ import annotations

import pytest

from orchestrator.clock import SystemClock
from orchestrator.errors import SettingsError
from orchestrator.providers.registry import Unconfigured, enrol
from orchestrator.providers.tavily import Tavily
from orchestrator.providers.upstream import Upstream
from tests.support.keys import one_key


def maker(name):
    """A maker of a provider of that name, which needs nothing to be made."""

    def make():
        provider = Tavily(Upstream(name, SystemClock()), "http://127.0.0.1", one_key())
        provider.name = name
        return provider

    return make


MISSING = Unconfigured(name="jina", reason="JINA_API_KEY is not set")
MAKERS = {"tavily": maker("tavily"), "jina": lambda: MISSING, "local": maker("local")}


def test_the_list_decides_the_order():
    """Providers come in the order of the list, whatever the order of the makers."""
    roster = enrol(["local", "tavily"], MAKERS)

    assert [provider.name for provider in roster.providers] == ["local", "tavily"]
    assert roster.unconfigured == ()


def test_a_provider_without_credential_is_left_out():
    """It is no error, and it is shown with the reason."""
    roster = enrol(["jina", "tavily"], MAKERS)

    assert [provider.name for provider in roster.providers] == ["tavily"]
    assert roster.unconfigured == (MISSING,)


def test_all_faults_in_one_message():
    """Unknown and repeated names are refused together, and the known names are told."""
    with pytest.raises(SettingsError, match=r"'bing'.*known are: jina, local, tavily.*'local' is named more"):
        enrol(["local", "bing", "local"], MAKERS)


def test_nothing_is_made_of_a_bad_list():
    """A fault is found before the first provider is made."""
    made = []

    with pytest.raises(SettingsError):
        enrol(["tavily", "bing"], {"tavily": lambda: made.append("tavily")})

    assert made == []


def test_no_names_no_providers():
    """An empty list is an empty roster; whether that can serve is not decided here."""
    assert enrol([], MAKERS).providers == ()
