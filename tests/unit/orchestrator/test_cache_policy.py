"""How long an answer is fresh, and how long it is better than none."""

from __future__ import annotations

import pytest

from orchestrator.cache_policy import CachePolicy
from orchestrator.model import Found, SearchAnswer
from tests.support.scripted_provider import found


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
