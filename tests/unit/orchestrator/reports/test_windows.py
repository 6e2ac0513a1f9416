"""Windows: their pieces cover each moment once, whatever is kept, and groups are what a wall clock shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import InvalidRequest
from orchestrator.projections.fold import DAY_S, HOUR_S, MINUTE_S
from orchestrator.reports.report import TIMES, Question
from orchestrator.reports.windows import GROUPS_MAX, groups_of, in_its_zone, plan, zone_of

ALL = (MINUTE_S, HOUR_S, DAY_S)
NOON = 1_800_014_400
"""Noon of a day in January 2027, UTC."""

BERLIN_SPRING, BERLIN_AUTUMN = "2026-03-29", "2026-10-25"

moments = st.integers(min_value=86_400, max_value=4_000_000_000)
kept = st.fixed_dictionaries({}, optional={MINUTE_S: moments, HOUR_S: moments})
odd_zones = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia"]
)


def asked(since, until, by="", zone="UTC"):
    """A question about a window, given as epoch seconds or ISO 8601 with an offset."""
    since, until = (
        at if isinstance(at, int | float) else datetime.fromisoformat(at).timestamp() for at in (since, until)
    )
    return Question(since=since, until=until, by=by, time_zone=zone)


def groups(pieces):
    """Where the groups begin, in their order."""
    return list(dict.fromkeys(piece.group for piece in pieces))


def wall(begin, zone):
    """What the clocks of the zone show then."""
    return datetime.fromtimestamp(begin, ZoneInfo(zone))


def covers(window):
    """Assert that the pieces are the window: each begins where the one before it ends."""
    borders = [window.since, *(piece.high for piece in window.pieces)]
    assert [piece.low for piece in window.pieces] == borders[:-1]
    assert borders[-1] == window.until
    for piece in window.pieces:
        assert piece.low < piece.high
        assert piece.low % piece.span_s == piece.high % piece.span_s == 0


@given(moments, st.floats(min_value=1, max_value=4e8), kept, st.sampled_from([ALL, ALL[1:], ALL[2:]]))
def test_pieces_cover_the_window_exactly_once(since, length_s, kept_from, spans_s):
    """Whatever is kept and wherever it begins: no moment is missing or twice, and only kept rows are read."""
    question = asked(since + 0.5, since + 0.5 + length_s)

    window = plan(question, kept_from, spans_s)

    covers(window)
    assert window.since <= question.since < question.until <= window.until
    assert all(
        piece.low >= kept_from.get(piece.span_s, 0) or piece.span_s == DAY_S for piece in window.pieces
    )
    assert {piece.span_s for piece in window.pieces} <= set(spans_s)


@given(moments, st.integers(min_value=1, max_value=400_000_000))
def test_few_pieces_are_enough(since, length_s):
    """Where all is kept a window is minutes, hours, days, hours and minutes, widened to minutes."""
    window = plan(asked(since, since + length_s), {}, ALL)

    assert len(window.pieces) <= 5
    assert window.since > since - MINUTE_S
    assert window.until < since + length_s + MINUTE_S


@given(
    st.integers(min_value=100_000_000, max_value=3_000_000_000),
    st.floats(1, 2_000_000),
    odd_zones,
    st.sampled_from(list(TIMES)),
)
def test_groups_partition_the_window(since, length_s, zone, by):
    """In zones a half or quarter hour off, across changes of clocks, each moment is in one group."""
    if length_s / TIMES[by] > GROUPS_MAX - 2:
        length_s = (GROUPS_MAX - 2) * TIMES[by]
    window = plan(asked(since, since + length_s, by, zone), {}, ALL)

    covers(window)
    begins = groups(window.pieces)
    assert begins == sorted(begins)
    assert begins[0] <= window.since < begins[0] + 26 * HOUR_S
    for begin, following in pairwise(begins):
        assert {piece.high for piece in window.pieces if piece.group == begin} >= {following}
        local = wall(begin, zone)
        if by == "day":
            assert wall(begin - 1, zone).date() < local.date()
        elif by == "hour":
            assert local.minute == 0 or wall(begin - 1, zone).utcoffset() != local.utcoffset()


@settings(max_examples=200)
@given(st.sampled_from(sorted(available_timezones())), st.integers(min_value=0, max_value=250_000_000_000))
def test_every_zone_has_days(zone, since):
    """Days follow each other in every zone there is, at any time."""
    since = min(since, 221_800_000_000)
    try:
        window = plan(asked(since, since + 10 * DAY_S, "day", zone), {}, ALL)
    except InvalidRequest:
        assert since < 100_000_000, "only of old have zones been off by seconds"
        return

    covers(window)
    assert 9 <= len(groups(window.pieces)) <= 11


def test_a_day_of_spring_has_23_hours_and_one_of_autumn_25():
    """In Berlin the hour from 2 to 3 is missing in spring and there twice in autumn."""
    for date, hours, shown in ((BERLIN_SPRING, 23, [1, 3, 4]), (BERLIN_AUTUMN, 25, [1, 2, 2, 3])):
        noon = datetime.fromisoformat(f"{date}T12:00:00").replace(tzinfo=ZoneInfo("Europe/Berlin"))
        begin = noon.replace(hour=0).timestamp()
        end = (noon.replace(hour=0) + timedelta(days=1)).timestamp()

        begins = groups(plan(asked(begin, end, "hour", "Europe/Berlin"), {}, ALL).pieces)

        assert len(begins) == hours
        assert [wall(at, "Europe/Berlin").hour for at in begins][1 : len(shown) + 1] == shown
        assert len(groups(plan(asked(begin, end, "day", "Europe/Berlin"), {}, ALL).pieces)) == 1


@pytest.mark.parametrize("by", TIMES)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata"])
def test_all_groups_are_known_beforehand(zone, by):
    """Also those in which nothing will be found, and the parts of one at both ends."""
    day = datetime(2026, 10, 25, tzinfo=ZoneInfo(zone)).timestamp()  # clocks are put back in Berlin
    question = Question(since=day + 17.5, until=day + 86_401.5, by=by, time_zone=zone)

    assert list(groups_of(question)) == sorted({piece.group for piece in plan(question, {}, ALL).pieces})


def test_clocks_may_be_changed_by_half_an_hour():
    """On Lord Howe Island clocks go from 2:00 to 2:30; hours are full hours before and after."""
    window = plan(
        asked("2026-10-04T00:00:00+10:30", "2026-10-04T05:00:00+11:00", "hour", "Australia/Lord_Howe"),
        {},
        ALL,
    )

    shown = [f"{wall(at, 'Australia/Lord_Howe'):%H:%M}" for at in groups(window.pieces)]
    assert shown == ["00:00", "01:00", "02:30", "03:00", "04:00"]


def test_a_day_may_be_missing():
    """Samoa went from the 29th to the 31st of December 2011: there is no group between them."""
    window = plan(
        asked("2011-12-28T10:00:00+00:00", "2012-01-01T10:00:00+00:00", "day", "Pacific/Apia"), {}, ALL
    )

    assert [wall(at, "Pacific/Apia").day for at in groups(window.pieces)] == [28, 29, 31, 1]


@pytest.mark.parametrize(("zone", "offset"), [("Asia/Kathmandu", "+05:45"), ("America/St_Johns", "-03:30")])
def test_hours_of_a_zone_that_is_half_an_hour_off_are_made_of_minutes(zone, offset):
    """They are exact where minutes are kept, and refused where they are not."""
    question = asked(f"2026-01-10T00:00:00{offset}", f"2026-01-11T00:00:00{offset}", "hour", zone)

    assert len(groups(plan(question, {}, ALL).pieces)) == 24
    with pytest.raises(InvalidRequest, match="by the hour in the zone"):
        plan(question, {MINUTE_S: NOON}, ALL)


def test_a_window_is_widened_to_what_is_kept():
    """Where minutes are gone a window is of whole hours, where hours are gone of whole days."""
    kept_from = {MINUTE_S: NOON + DAY_S // 2, HOUR_S: NOON - DAY_S // 2}
    span = 90 * MINUTE_S

    windows = [
        plan(asked(at + 61, at + span), kept_from, ALL) for at in (NOON - 2 * DAY_S, NOON, NOON + DAY_S)
    ]

    assert [(window.since % DAY_S, window.until - window.since) for window in windows] == [
        (0, DAY_S),
        (DAY_S // 2, 2 * HOUR_S),
        (DAY_S // 2 + MINUTE_S, 89 * MINUTE_S),
    ]


@pytest.mark.parametrize(
    "zone",
    [
        "",
        "../../etc/passwd",
        "/etc/passwd",
        "x" * 10_000,
        "Europe",
        "europe/berlin\0",
        "\ud800",
        "CEST",
        "+01:00",
    ],
)
def test_an_unknown_zone_is_refused(zone):
    """Whatever is no zone is refused with one that is; no file is looked for outside of the zones' folder."""
    with pytest.raises(InvalidRequest, match="Europe/Berlin"):
        zone_of(zone)


@pytest.mark.parametrize(("by", "length_s"), [("minute", 10**9), ("hour", 10**9), ("day", 10**10)])
def test_too_many_groups_are_refused(by, length_s):
    """Ten million groups are refused before any is made."""
    with pytest.raises(InvalidRequest, match="more than 1500 groups"):
        plan(asked(0, length_s, by), {}, ALL)


def test_groups_are_told_in_local_time_too():
    """Programs read epoch seconds, people the time in the zone they asked for, with its offset."""
    figures = {"since": 0, "until": 60, "by": "hour", "rows": [{"hour": 1_800_014_400, "calls": 1}]}

    told = in_its_zone(figures, asked(0, 60, "hour", "Asia/Kathmandu"))

    assert told["tz"] == "Asia/Kathmandu"
    assert told["rows"] == [{"hour": 1_800_014_400, "time": "2027-01-15T17:45:00+05:45", "calls": 1}]
    assert datetime.fromisoformat(told["rows"][0]["time"]).astimezone(UTC).timestamp() == 1_800_014_400
