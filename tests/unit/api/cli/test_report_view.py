"""Reports and events as a person sees them."""

from __future__ import annotations

import time

import pytest

from api.cli.charts import BLOCKS, PLAIN
from api.cli.events_view import event_line, execution_view, short_name
from api.cli.report import local_zone
from api.cli.report_view import report_view
from api.quantities import moment
from tests.support.rendering import rendered


def test_figures_come_before_tables():
    """Single figures are lines with their unit, a list of objects is a table with a column for each name."""
    report = {
        "requests": 1200,
        "hit_ratio": 0.5,
        "groups": [{"provider": "jina", "p95_s": 0.25}, {"provider": "x\x1b[2J"}],
    }

    lines = [line.rstrip() for line in rendered(report_view(report)).splitlines()]

    assert lines[:2] == ["requests  1,200", "hit rate  50.0 %"]
    assert [line.split() for line in lines if "jina" in line] == [["jina", "250", "ms"]]
    assert any(line.split() == ["x\ufffd[2J", "-"] for line in lines)


def test_an_empty_table_says_so():
    """A window without calls is a sentence, not an empty frame."""
    assert "groups  none" in rendered(report_view({"groups": []}))


def test_an_object_within_is_a_section():
    """The figures of an object within stand below its name; an empty object is a dash."""
    text = rendered(report_view({"since": 0, "requests": {"total": 2, "errors": {}}}))

    lines = [line.split() for line in text.splitlines()]
    assert lines[0] == ["since", *moment(0).split()]
    assert lines[2:] == [["requests"], ["total", "2"], ["errors", "-"]]


def test_a_list_within_rows_is_a_table_of_its_own():
    """Its rows begin with what theirs began with, so that no cell holds a table; without any it is none."""
    rows = [
        {"provider": "jina", "calls": 9, "failures": []},
        {
            "provider": "tavily",
            "calls": 8,
            "failures": [{"reason": "http_500", "calls": 5}, {"reason": "timeout", "calls": 3}],
        },
    ]
    lines = [line.split() for line in rendered(report_view({"providers": rows})).splitlines()]
    none = rendered(report_view({"providers": rows[:1]})).splitlines()

    assert [line for line in lines if line and not set(line[0]) <= {"─"}] == [
        ["providers"],
        ["provider", "calls"],
        ["jina", "9"],
        ["tavily", "8"],
        ["failures"],
        ["provider", "reason", "calls"],
        ["tavily", "http_500", "5"],
        ["tavily", "timeout", "3"],
    ]
    assert none[-1].split() == ["failures", "none"]


SERIES = {
    "tz": "Asia/Kathmandu",
    "since": 1_800_000_000,
    "by": "hour",
    "rows": [
        {
            "hour": 1_799_997_300,
            "time": "2027-01-15T13:00:00+05:45",
            "hit_ratio": 0.5,
            "calls": 4,
            "stale": 0,
        },
        {
            "hour": 1_800_000_900,
            "time": "2027-01-15T14:00:00+05:45",
            "hit_ratio": 0.5,
            "calls": 8,
            "stale": 0,
        },
    ],
}


def test_moments_are_those_of_the_reports_zone():
    """The zone is named, and moments and groups are what its clocks show; one column of time is enough."""
    lines = rendered(report_view(SERIES)).splitlines()

    assert [line.split() for line in lines[:2]] == [
        ["tz", "Asia/Kathmandu"],
        ["since", "2027-01-15", "13:45:00"],
    ]
    assert lines[-1].split() == ["2027-01-15", "14:00", "50.0", "%", "8", "0"]
    assert "time" not in "".join(lines)


def test_a_terminal_gets_bars_and_a_line():
    """The first amount of a table has bars; a series has a line over it; a pipe has the figures alone."""
    drawn = rendered(report_view(SERIES, BLOCKS)).splitlines()
    plain = rendered(report_view(SERIES, PLAIN))

    assert "▄█" in drawn
    assert [line.split()[-2] for line in drawn[-2:]] == ["██████", "████████████"]
    assert "############" in plain
    assert "█" not in rendered(report_view(SERIES))


def test_shares_have_bars_of_the_whole():
    """Half of everything is half a bar, whatever the other rows have."""
    rows = [{"client": name, "hit_ratio": share} for name, share in (("a", 0.5), ("b", 0.25), ("c", None))]
    drawn = rendered(report_view({"rows": rows}, BLOCKS)).splitlines()

    assert [line.count("█") for line in drawn[-3:]] == [6, 3, 0]


def test_latencies_are_drawn_as_spreads():
    """Each stage has its median, 95th percentile and longest on one axis; a pipe has figures alone."""
    stages = [
        {"stage": "hit", "calls": 9, "p50_s": 0.001, "p95_s": 0.01, "max_s": 0.1},
        {"stage": "miss", "calls": 3, "p50_s": 0.1, "p95_s": 1.0, "max_s": 10.0},
        {"stage": "none", "calls": 0, "p50_s": None, "p95_s": None, "max_s": None},
    ]
    drawn = rendered(report_view({"stages": stages}, BLOCKS)).splitlines()

    assert "●━━━───" in drawn[-3]
    assert drawn[-2].rstrip().endswith("  ●━━───")
    assert "●" not in drawn[-1]
    assert "●" not in rendered(report_view({"stages": stages}))


def test_a_table_that_is_too_wide_loses_what_is_nothing():
    """Columns without anything go first; then a few rows stand side by side; a pipe keeps all."""
    row = {f"figure_number_{number}": number % 3 for number in range(24)}
    report = {"rows": [{"name": name, **row} for name in ("a", "b")], "by": "name"}

    narrow = rendered(report_view(report), width=100)
    wide = rendered(report_view(report), width=2_000)

    assert "figure number 3" not in narrow
    assert ["figure", "number", "4", "1", "1"] in [line.split() for line in narrow.splitlines()]
    assert max(map(len, map(str.rstrip, narrow.splitlines()))) <= 100
    assert "figure number 3" in wide


RANKING = {
    "top": [
        {
            "text": f"how deep is the harbour of city number {number} at low tide",
            "key": f"{number:032x}",
            "calls": 12_345 - number,
            "hits": 1_000,
            "mean_s": 0.0302,
        }
        for number in range(4)
    ]
}


@pytest.mark.parametrize(("width", "has_bars"), [(200, True), (100, True), (65, False)])
def test_a_ranking_of_long_texts_stays_a_ranking(width, has_bars):
    """Where room is short texts and keys are cut, then bars go; a row stays a line, no figure is cut."""
    lines = [line.rstrip() for line in rendered(report_view(RANKING, BLOCKS), width=width).splitlines()]

    rows = [line for line in lines if "how deep is the harbour" in line]
    assert [line.replace("█", "").split()[-4:] for line in rows] == [
        [f"{12_345 - number:,}", "1,000", "30.2", "ms"] for number in range(4)
    ]
    assert ("█" in rows[0]) == has_bars
    assert max(map(len, lines)) <= width


def test_a_table_with_no_room_is_told_row_by_row():
    """What fits in no way beside each other is one below the other, whole."""
    lines = rendered(report_view(RANKING, BLOCKS), width=40).splitlines()

    text = " ".join(" ".join(lines).split())
    assert f"city number 3 at low tide key {3:032x} · calls 12,342 · hits 1,000 · mean 30.2 ms" in text
    assert max(map(len, lines)) <= 40


def test_a_report_without_groups_has_no_empty_table():
    """`rows` is of the groups that nobody asked for."""
    assert "rows" not in rendered(report_view({"by": "", "calls": 1, "rows": []}))
    assert "rows  none" in rendered(report_view({"by": "hour", "calls": 1, "rows": []}))


@pytest.mark.parametrize(
    ("named", "zone"), [("Asia/Kathmandu", "Asia/Kathmandu"), (":Asia/Tokyo", "Asia/Tokyo")]
)
def test_the_zone_of_this_person(monkeypatch, tmp_path, named, zone):
    """A zone that is named in TZ comes before the machine's own."""
    (tmp_path / "localtime").symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    with monkeypatch.context() as changed:
        changed.setenv("TZ", named)
        changed.setattr("api.cli.report.LOCAL_ZONE", tmp_path / "localtime")
        time.tzset()
        assert local_zone() == zone
    time.tzset()


@pytest.mark.parametrize(
    ("link", "zone"),
    [
        ("/usr/share/zoneinfo/Etc/UTC", "Etc/UTC"),
        ("../usr/share/zoneinfo/Europe/Atlantis", "UTC"),
        ("/usr/share/zoneinfo/Pacific/Kiritimati", "UTC"),
        ("/somewhere/else", "UTC"),
        (None, "UTC"),
    ],
)
def test_the_zone_of_this_machine(monkeypatch, tmp_path, link, zone):
    """It is where the link leads, if its clocks are those in force here; else UTC."""
    if link:
        (tmp_path / "localtime").symlink_to(link)
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "UTC0")
        changed.setattr("api.cli.report.LOCAL_ZONE", tmp_path / "localtime")
        time.tzset()
        assert local_zone() == zone
    time.tzset()


def test_an_event_is_a_line():
    """Time, stream, the name without area and version, and the fields; a cache key tells nobody anything."""
    event = {
        "type": "amos.attempt.failed.v1",
        "provider": "tavily",
        "duration_s": 0.5,
        "pid": 20091,
        "reason": "a\x1bb",
        "key": "f00",
    }

    line = rendered(event_line(0.0, "0199", event), width=200)

    assert "0199" in line
    assert "attempt.failed" in line
    assert "provider=tavily duration=500 ms pid=20091 reason=a\ufffdb" in line
    assert "f00" not in line


def test_a_price_is_shown_as_one():
    """What a call costs is its amount in the provider's unit, and money."""
    event = {
        "type": "amos.attempt.started.v1",
        "estimate": {"amount": 0.2, "unit": "credits", "usd_micros": 1600},
    }

    assert "estimate=0.2 credits ($0.0016)" in rendered(event_line(0.0, "0199", event), width=200)


def test_a_foreign_event_keeps_its_name():
    """A type that is not built like ours is shown whole."""
    assert short_name("amos.cache.hit.v1") == "cache.hit"
    assert short_name("other") == "other"


def test_an_execution_is_a_story():
    """Events with the time since the first, then the sentences that explain the end."""
    body = {
        "execution_id": "0199",
        "events": [
            {"seq": 1, "at": 10.0, "event": {"type": "amos.request.received.v1", "operation": "search"}},
            {"seq": 2, "at": 10.0125, "event": {"type": "amos.cache.hit.v1", "tier": "l1"}},
        ],
        "explanation": {"why": ["Cache tier l1 had the answer."]},
    }

    lines = [line.rstrip() for line in rendered(execution_view(body)).splitlines()]

    assert lines[0] == "0199"
    assert "12.5 ms  cache.hit" in lines[3]
    assert lines[-1] == "  Cache tier l1 had the answer."
