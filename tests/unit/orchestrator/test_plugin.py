"""What the author of a plug-in builds on: results, answers, and what a provider of theirs cannot do."""

from __future__ import annotations

import pytest

from orchestrator import plugin
from orchestrator.clock import SystemClock
from orchestrator.model import ExtractRequest, SearchRequest
from tests.support.calls import make_call


def provider(**attributes):
    """A provider that writes nothing of its own but these attributes."""
    cls = type("Mine", (plugin.SearchProvider,), attributes)
    return cls("mine", plugin.Tools(clock=SystemClock()))


def hits(count):
    """Results, best first."""
    return [plugin.result(f"Page {n}", f"https://a.example/{n}", "Text.", score=0.25) for n in range(count)]


def test_everything_promised_is_there():
    """Each name of the module can be imported from it, and its own are among them."""
    assert [name for name in plugin.__all__ if not hasattr(plugin, name)] == []


async def test_results_are_scored_by_rank_and_cut():
    """Who has no scores gets falling ones, and nobody gets more results than were asked for."""
    found = provider().found(SearchRequest(query="x", max_results=3), hits(5))

    assert [one.score for one in found.answer.results] == [1.0, 1 / 2, 1 / 3]
    assert (found.provider, found.cost, found.unsupported) == ("mine", plugin.FREE, ())


async def test_scores_of_its_own_stay():
    """A provider that scores is believed."""
    found = provider().found(SearchRequest(query="x"), hits(2), is_scored=True)

    assert [one.score for one in found.answer.results] == [0.25, 0.25]


@pytest.mark.parametrize(
    ("asked", "honours", "named"),
    [
        ({}, (), ()),
        ({"search_depth": "basic", "topic": "general", "include_answer": False}, (), ()),
        ({"search_depth": "advanced", "topic": "news", "days": 3}, (), ("search_depth", "topic", "days")),
        ({"search_depth": "advanced", "topic": "news", "days": 3}, ("topic", "days"), ("search_depth",)),
        ({"include_domains": ("a.example",), "max_results": 3}, (), ()),
        ({"include_domains_mode": "filter"}, (), ()),
        ({"include_domains_mode": "prefer"}, (), ("include_domains_mode",)),
        ({"extra": {"flavour": 1, "include_usage": True}}, (), ("flavour",)),
        ({"extra": {"flavour": 1}}, ("flavour",), ()),
    ],
)
async def test_what_makes_no_difference_is_named(asked, honours, named):
    """The caller hears which of their wishes the provider passed over; defaults are no wishes."""
    found = provider(honours=frozenset(honours)).found(SearchRequest(query="x", **asked), [])

    assert found.unsupported == named


async def test_an_extract_is_refused():
    """A provider that only searches says so, and bills nothing."""
    with pytest.raises(plugin.ProviderRejected) as refusal:
        await provider().extract(make_call(ExtractRequest(urls=("https://a.example/",))))

    assert (refusal.value.reason, refusal.value.assumed) == ("not_offered", plugin.FREE)
