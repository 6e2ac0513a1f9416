"""A limited caller reads in the headers what its limits are and what is left of them."""

from __future__ import annotations

import pytest

from api.rest.limit_headers import limit_headers
from orchestrator.filters.rate_limit import RateLimitPolicy
from orchestrator.quota import Verdict, Window, verdict_on
from orchestrator.recorder import Recorder
from tests.support.clock import FakeClock
from tests.support.memory_journal import MemoryJournal

WINDOWS = RateLimitPolicy().windows


def headers_of(verdict: Verdict | None) -> dict[bytes, bytes]:
    """The headers of a call with this verdict."""
    trail = Recorder(MemoryJournal(), FakeClock()).open()
    trail.verdict = verdict
    return dict(limit_headers(trail))


def test_all_policies_and_the_tightest_state_are_told():
    """The policy lists every window, the state the one with the least left."""
    verdict = verdict_on(WINDOWS, [19, 118, 7], [9.2, 58.0, 3_599.9], allowed=True)

    assert headers_of(verdict) == {
        b"ratelimit-policy": b'"burst";q=20;w=10, "minute";q=120;w=60, "hour";q=2000;w=3600',
        b"ratelimit": b'"hour";r=7;t=3600',
    }


def test_a_refused_caller_reads_what_keeps_it_out_longest():
    """Nothing remains, and `t` is when something does again."""
    verdict = verdict_on(WINDOWS, [0, 0, 1_000], [2.0, 30.2, 100.0], allowed=False)

    assert headers_of(verdict)[b"ratelimit"] == b'"minute";r=0;t=31'
    assert verdict.retry_after_s == 30.2


@pytest.mark.parametrize(("period_s", "w"), [(0.5, 1), (4.67, 5), (60.0, 60)])
def test_a_period_is_told_in_whole_seconds_and_never_too_short(period_s: float, w: int):
    """The field takes integers; who keeps to a longer period keeps to the real one."""
    verdict = verdict_on((Window("burst", 7, period_s),), [6], [period_s], allowed=True)

    assert headers_of(verdict)[b"ratelimit-policy"] == b'"burst";q=7;w=%d' % w


def test_an_unlimited_caller_reads_nothing():
    """Without limits there is nothing to tell."""
    assert headers_of(None) == {}
