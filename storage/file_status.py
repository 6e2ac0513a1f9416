"""How the recorder is doing, in a small file that any process on the machine may read for its health page."""

from __future__ import annotations

from pathlib import Path

import msgspec

STATUS_NAME = "recorder.json"


class TracesStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the export of traces is doing, which the recorder's process does beside recording.

    `exported` counts the spans a collector took since the start, `dropped` the calls of which none went out:
    too old when the collector was there again, or refused by it. `fault` is what is wrong now and what to do,
    `""` if nothing is; `last_fault` the last that was. `since` is when it got that way. `is_elsewhere`: the
    recorder of another machine exports for all.
    """

    exported: int = 0
    dropped: int = 0
    fault: str = ""
    last_fault: str = ""
    since: float
    is_elsewhere: bool = False


class RecorderStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the recorder last said of itself, at the moment `at` (epoch seconds).

    `drained_at` is when it last had everything in SQL and folded, 0 if never; what was recorded since is not
    in reports yet. `fault` says what keeps it from working, `""` if nothing does. `frames` counts what it
    stored since it started, `damaged` how many segments it had to set aside, `parked` how many frames hold
    something that no report can count, `unknown` how many events are of types of a later version; they all
    stay in the log. `since` is when its fault began, or when it last had none: at its start or at the end of
    one. `traces` is `None` if it exports none.
    """

    pid: int
    at: float
    drained_at: float
    backlog_bytes: int
    frames: int
    damaged: int
    parked: int = 0
    unknown: int = 0
    fault: str = ""
    since: float = 0.0
    traces: TracesStatus | None = None

    def lag_s(self, now: float) -> float:
        """How old the reports may be, in seconds; it grows when the recorder is stuck or dead as well."""
        return max(now - self.drained_at, 0.0)


def write_status(data_dir: Path, status: RecorderStatus) -> None:
    """Replace the file at once, so that nobody reads half of one. Raises OSError."""
    fresh = data_dir / (STATUS_NAME + ".new")
    fresh.write_bytes(msgspec.json.encode(status))
    fresh.rename(data_dir / STATUS_NAME)


def read_status(data_dir: Path) -> RecorderStatus | None:
    """The last status; `None` if no recorder ever ran here or the file is not ours."""
    try:
        return msgspec.json.decode((data_dir / STATUS_NAME).read_bytes(), type=RecorderStatus)
    except (OSError, msgspec.MsgspecError):
        return None
