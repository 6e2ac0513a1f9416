"""The settings of warming: what switches it on, what it then does, and what it cannot work with."""

from __future__ import annotations

import pytest

from api.policies import schedule_of, warming_of
from api.settings import load
from orchestrator.errors import SettingsError
from orchestrator.warming_plan import WarmingPolicy
from orchestrator.warming_schedule import Schedule


@pytest.mark.parametrize(
    ("env", "schedule"),
    [
        ({"AMOS_WARM_AT": "03:00-05:30"}, Schedule(opens_s=10_800, closes_s=19_800)),
        ({"AMOS_WARM_EVERY_S": "600"}, Schedule(every_s=600.0)),
        (
            {"AMOS_WARM_AT": "22:00-02:00", "AMOS_WARM_EVERY_S": "3600"},
            Schedule(opens_s=79_200, closes_s=7_200, every_s=3_600.0),
        ),
    ],
)
def test_either_setting_switches_it_on(env, schedule):
    """One of the two is enough, and both together mean both."""
    settings = load(env)

    assert settings.warms
    assert schedule_of(settings) == schedule


def test_it_is_off_by_default():
    """It spends money, so nobody gets it without asking."""
    assert not load({}).warms
    assert warming_of(load({})) == WarmingPolicy()


def test_what_expires_before_the_next_time_is_warmed_now():
    """A run looks ahead as far as the next one is away, a quarter of an hour at least."""
    assert warming_of(load({"AMOS_WARM_EVERY_S": "3600"})).horizon_s == 3_600.0
    assert warming_of(load({"AMOS_WARM_EVERY_S": "60"})).horizon_s == WarmingPolicy().horizon_s


def test_how_much_and_for_how_much_is_chosen():
    """Both bounds are settings; money is kept in millionths."""
    policy = warming_of(load({"AMOS_WARM_TOP": "7", "AMOS_WARM_USD_MAX": "0.25"}))

    assert (policy.top, policy.usd_micros_max) == (7, 250_000)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"AMOS_WARM_AT": "3-5"}, "must be a stretch of the day in UTC"),
        ({"AMOS_WARM_AT": "24:00-25:00"}, "must be a stretch of the day in UTC"),
        ({"AMOS_WARM_EVERY_S": "1"}, "greater than or equal to 60"),
        ({"AMOS_WARM_TOP": "1001"}, "less than or equal to 1000"),
        ({"AMOS_WARM_USD_MAX": "0"}, "greater than 0"),
        ({"AMOS_WARM_AT": "03:00-05:00", "AMOS_STORE_QUERY_TEXT": "false"}, "what to ask again"),
        ({"AMOS_WARM_EVERY_S": "60", "AMOS_CACHE_SCOPE": "client"}, "can be fetched for all"),
    ],
)
def test_what_it_cannot_work_with_stops_the_start(env, words):
    """A schedule that could never warm anything is told, not ignored."""
    with pytest.raises(SettingsError, match=words):
        load(env)
