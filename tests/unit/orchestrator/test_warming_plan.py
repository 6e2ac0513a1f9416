"""Which searches are worth fetching again, in which order, and which can be asked again at all."""

from __future__ import annotations

import msgspec
import pytest

from orchestrator.asked import options_of
from orchestrator.canonical import search_key
from orchestrator.model import SearchRequest
from orchestrator.warming_plan import Asked, WarmingPolicy, ranked


def asked(query="tides", *, calls=2, **fields):
    """A search that the record has in full."""
    options = {name: fields.pop(name) for name in ("topic", "days") if name in fields}
    request = SearchRequest(query=query, **options)
    known = {"key": search_key(request), "text": query, "options": options_of(request)}
    return Asked(**{**known, "calls": calls, **fields})


def test_the_order_is_by_the_waiting_that_is_spared():
    """Calls count times the mean wait of a fetch, a second where none was measured."""
    often = asked("often", calls=40, fetched=4, duration_us=2_000_000)  # 0.5 s a fetch: 20 s
    slow = asked("slow", calls=10, fetched=2, duration_us=8_000_000)  # 4 s a fetch: 40 s
    unmeasured = asked("unmeasured", calls=30)  # 30 s
    once = asked("once", calls=1, fetched=1, duration_us=90_000_000)

    order = ranked([often, once, slow, unmeasured], WarmingPolicy())

    assert order == [slow, unmeasured, often]
    assert [one.saving_s for one in order] == [40.0, 30.0, 20.0]


def test_a_search_of_the_record_is_asked_as_it_was():
    """Text and options together make the request that its callers sent."""
    assert asked(topic="news", days=3).request() == SearchRequest(query="tides", topic="news", days=3)


def test_a_text_alone_is_asked_if_that_is_what_was_asked():
    """Rows of before options were kept are good if the defaults lead to the same key, else not."""
    assert asked(options="").request() == SearchRequest(query="tides")
    assert asked(topic="news", options="").request() is None


@pytest.mark.parametrize(
    "row",
    [
        asked(text=None),
        asked(key="0" * 32),
        asked(options="{"),
        asked(options='{"search_depth":"bottomless"}'),
        asked("x"),
    ],
    ids=["erased", "another-key", "broken", "no-longer-valid", "too-short"],
)
def test_what_would_not_come_back_under_its_key_is_not_asked(row):
    """An erased text, a scoped or older key, and what no caller may ask any more are unknown."""
    assert row.request() is None


def test_a_row_that_was_changed_by_hand_is_not_asked():
    """The key is made of all that is asked, so nothing can be slipped in."""
    assert msgspec.structs.replace(asked(), options='{"days":7}').request() is None
