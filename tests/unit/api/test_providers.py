"""The providers that the settings name: what stops a start, and what only leaves one of them out."""

from __future__ import annotations

import json

import pytest

from api.providers import roster_of
from api.settings import load
from orchestrator.clock import SystemClock
from orchestrator.errors import SettingsError

SEARXNG = {"kind": "searxng", "url": "http://searxng.example"}


def roster_with(providers: str, **options: object):
    """What settings with these providers and options make."""
    environment = {"AMOS_PROVIDERS": providers, "AMOS_PROVIDER_OPTIONS": json.dumps(options)}
    return roster_of(load(environment), SystemClock())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "searxng", "ulr": "http://x.example"}, "The options are url, engines"),
        ({"kind": "searxng"}, "missing required field `url`"),
        ({"kind": "searx", "url": "http://x.example"}, "no kind of provider of this name"),
        ({"kind": "jina"}, "cannot be called otherwise than jina"),
        ({"kind": "mcp", "url": "https://x.example/mcp", "tool": "find", "protocol": "old"}, "protocol"),
    ],
)
def test_options_that_can_never_be_stop_the_start(options: dict[str, str], words: str):
    """A provider that a misspelling would silently leave out is told of, with variable and name."""
    with pytest.raises(SettingsError) as refused:
        roster_with("wiki,tavily", wiki=options, tavily={"depth": 1})

    first, *faults = refused.value.message.splitlines()
    assert first == "AMOS cannot start with this configuration:"
    assert [fault.split(": ")[:2] for fault in faults] == [
        ["  AMOS_PROVIDER_OPTIONS", "wiki"],
        ["  AMOS_PROVIDER_OPTIONS", "tavily"],
    ]
    assert words in faults[0]
    assert "There are no options." in faults[1]


def test_a_kind_that_is_not_here_stops_the_start():
    """A misspelt provider is named, with those there are."""
    with pytest.raises(SettingsError, match=r"AMOS_PROVIDERS: tavly: There is no kind .* jina, local, mcp"):
        roster_with("tavly,local")


def test_what_is_still_missing_stops_nothing():
    """A provider without its key or its secret is left out, with the reason, and the others serve."""
    headers = {"Authorization": "Bearer {secret:wiki}"}

    roster = roster_with("tavily,wiki,intranet", wiki={**SEARXNG, "headers": headers}, intranet=SEARXNG)

    assert [one.name for one in roster.providers] == ["intranet"]
    assert set(roster.reasons) == {"tavily", "wiki"}
