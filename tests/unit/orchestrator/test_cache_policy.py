"""How long an answer is fresh, and how long it is better than none."""

from __future__ import annotations

import pytest

from orchestrator.cache_policy import CachePolicy
from orchestrator.model import CacheControl, Found, SearchAnswer
from tests.support.clock import FakeClock
from tests.support.scripted_provider import found
from tests.support.tiers import entry


@pytest.mark.parametrize(
    ("topic", "answer", "fields", "expected_s"),
    [
        ("general", found(1), {}, 3600.0),
        ("news", found(1), {}, 300.0),
        ("finance", found(1), {}, 300.0),
        ("general", found(0), {}, 60.0),
        ("general", found(1), {"is_fallback": True}, 900.0),
        ("general", found(0), {"is_fallback": True}, 15.0),
        ("general", found(1), {"is_degraded": True, "is_fallback": True}, 0.0),
    ],
)
async def test_how_long_an_answer_stays_fresh(topic, answer, fields, expected_s):
    """News and empty answers age fast, a fallback makes room soon, the floor is not kept."""
    found_ = Found(**{"answer": answer, "provider": "tavily", **fields})

    assert CachePolicy().fresh_s(topic, found_) == expected_s


def test_a_short_policy_is_never_made_longer():
    """What is kept for less than the special times is kept for less in every case."""
    policy = CachePolicy(ttl_s=10.0)
    empty = Found(answer=SearchAnswer(results=(), answer=None, images=()), provider="tavily")

    assert policy.fresh_s("news", empty) == 10.0


@pytest.mark.parametrize(
    ("answer", "fields", "expected_s"),
    [
        (found(1), {}, 30.0),
        (found(1), {"is_fallback": True}, 30.0),
        (found(0), {}, 0.0),
        (found(1), {"is_degraded": True}, 0.0),
    ],
)
def test_how_long_an_answer_may_be_of_use_when_stale(answer, fields, expected_s):
    """The longest of the stale times; nothing found, and the floor, are of none."""
    policy = CachePolicy(stale_while_revalidate_s=10.0, stale_if_error_s=30.0, stale_if_quota_s=20.0)

    assert policy.stale_s(Found(answer=answer, provider="tavily", **fields)) == expected_s


@pytest.mark.parametrize(
    ("policy", "expected_s"),
    [
        ({}, (60.0, 60.0, 60.0)),
        ({"stale_while_revalidate_s": 0.0, "stale_if_error_s": 7.0}, (0.0, 7.0, 60.0)),
    ],
)
def test_an_entry_is_never_used_beyond_its_own_end(policy, expected_s):
    """An entry that was kept under shorter times keeps them, whatever the policy says by now."""
    clock = FakeClock()
    kept, policy = entry(clock, fresh_s=100.0, stale_s=60.0), CachePolicy(**policy)

    until = (
        policy.revalidated_until(kept, CacheControl()),
        policy.stands_in_until(kept, CacheControl(), "error"),
        policy.stands_in_until(kept, CacheControl(), "quota"),
    )

    assert tuple(moment - kept.fresh_until for moment in until) == expected_s
