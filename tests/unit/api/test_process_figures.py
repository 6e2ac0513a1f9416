"""The figures of a process: whatever a recorder says of itself is there, and what it is."""

from __future__ import annotations

import msgspec

from api.process_figures import recorder_figures
from storage.file_status import RecorderStatus

STATUS = RecorderStatus(
    pid=7,
    at=5_000.0,
    drained_at=4_990.0,
    backlog_bytes=12,
    frames=30,
    damaged=1,
    parked=2,
    unknown=3,
    since=1.0,
)


class Exporting(msgspec.Struct, frozen=True, kw_only=True):
    """Something a recorder does beside."""

    sent: int = 4
    fault: str = "Gone."
    is_elsewhere: bool = False
    since: float = 9.0


class Status(RecorderStatus, frozen=True, kw_only=True):
    """A status with a part that is a status."""

    exporting: Exporting | None = Exporting()


def figures(status):
    """Kind and value by name."""
    return {one.name: (one.kind, *(value for _, value in one.samples)) for one in recorder_figures(status)}


def test_every_field_of_a_status_is_a_figure():
    """Counts are counters, bytes and states are levels, moments are timestamps; the pid is none of them."""
    found = figures(STATUS)

    assert found == {
        "amos_recorder_known": ("gauge", True),
        "amos_recorder_status_timestamp_seconds": ("gauge", 5_000.0),
        "amos_recorder_drained_timestamp_seconds": ("gauge", 4_990.0),
        "amos_recorder_since_timestamp_seconds": ("gauge", 1.0),
        "amos_recorder_backlog_bytes": ("gauge", 12),
        "amos_recorder_frames_total": ("counter", 30),
        "amos_recorder_damaged_total": ("counter", 1),
        "amos_recorder_parked_total": ("counter", 2),
        "amos_recorder_unknown_total": ("counter", 3),
        "amos_recorder_faulty": ("gauge", False),
    } | {name: value for name, value in found.items() if name.startswith("amos_recorder_traces")}


def test_a_part_of_a_status_is_shown_like_the_whole():
    """What a recorder does beside has its figures under its own name, the state of its faults too."""
    found = figures(msgspec.convert(msgspec.to_builtins(STATUS), Status))

    assert found["amos_recorder_exporting_sent_total"] == ("counter", 4)
    assert found["amos_recorder_exporting_faulty"] == ("gauge", True)
    assert found["amos_recorder_exporting_is_elsewhere"] == ("gauge", False)
    assert found["amos_recorder_exporting_since_timestamp_seconds"] == ("gauge", 9.0)


def test_where_no_recorder_ran_nothing_is_said_of_one():
    """Only that none is known."""
    assert figures(None) == {"amos_recorder_known": ("gauge", False)}
