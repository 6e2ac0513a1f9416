"""Queries: five rankings of searches, by what they cost their callers."""

from __future__ import annotations

from orchestrator.events import Cost
from orchestrator.reports.queries import RANKINGS, QueriesReport
from tests.support.histories import CREDIT, answered, numbered, refused
from tests.support.reported import report_of


def report(*events, limit=20, texts=None):
    """The rankings of these events."""
    return report_of(QueriesReport(), numbered(events), limit=limit, texts=texts)


def keys(rows):
    """Which searches are ranked, in their order."""
    return [row["key"] for row in rows]


def test_each_ranking_has_its_own_order():
    """Most calls, most failures, most slow ones, most without results; zeros are in no ranking."""
    found = report(
        *(answered(key="often", cache="l1", duration_s=0.001) for _ in range(3)),
        answered(key="slow", duration_s=2.001),
        answered(key="just", duration_s=2.0),
        answered(key="empty", results=0),
        *(refused("all_providers_failed", key="failing") for _ in range(2)),
        refused("not_in_cache", key="own"),
    )

    assert keys(found["top"]) == ["often", "failing", "empty", "just", "own", "slow"]
    assert keys(found["failing"]) == ["failing"]
    assert keys(found["slow"]) == ["slow"]
    assert keys(found["empty"]) == ["empty"]
    assert found["repeated"] == []


def test_a_repeated_search_is_fetched_more_than_once():
    """Had the first answer stayed fresh, all but one of its fetches would have been saved."""
    dear = Cost(amount=2.0, unit="credits", usd_micros=16_000)
    found = report(
        *(answered(key="weather", cost=CREDIT) for _ in range(3)),
        answered(key="weather", cost=dear),
        answered(key="once"),
    )

    (row,) = found["repeated"]
    assert (row["key"], row["fetched"], row["cost_usd_micros"]) == ("weather", 4, 40_000)
    assert row["avoidable_usd_micros"] == 30_000


def test_a_search_has_its_counts_and_its_text():
    """Calls, hits and fetches, the mean stay of all, and the text while it is kept."""
    history = [answered(key="k", duration_s=0.5), answered(key="k", cache="l2", duration_s=0.1, cost=Cost())]

    (kept,) = report(*history, texts={"k": "Tide tables"})["top"]
    (erased,) = report(*history)["top"]

    assert kept == {
        "text": "Tide tables",
        "key": "k",
        "calls": 2,
        "hits": 1,
        "fetched": 1,
        "empty": 0,
        "failed": 0,
        "slow": 0,
        "mean_s": 0.3,
        "cost_usd_micros": 8_000,
    }
    assert erased == kept | {"text": None}


def test_a_ranking_is_cut_at_its_limit():
    """Of equals the one whose key sorts first is ranked; what a ranking is by comes first in its rows."""
    found = report(*(answered(key=key, results=0) for key in "cab"), limit=2)

    assert {name: keys(found[name]) for name in ("top", "empty")} == {"top": ["a", "b"], "empty": ["a", "b"]}
    assert [list(found[name][0])[2] for name in ("top", "empty")] == [RANKINGS["top"], RANKINGS["empty"]]


def test_what_has_no_key_is_no_search():
    """An extract and a search that was refused at the door have no cache key."""
    assert report(answered(operation="extract"), refused("rate_limited"))["top"] == []
