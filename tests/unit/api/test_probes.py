"""What is shown of journal, recorder and keys, and since when it is that way."""

from __future__ import annotations

import errno
import time

import pytest

from api.probes import (
    journal_health,
    keys_health,
    recorder_health,
    recorder_lag_s,
    registrations_health,
    traces_health,
)
from orchestrator.errors import EventLogUnavailable, KeysUnavailable
from orchestrator.limits import REPORTS_LAG_S_MAX
from storage.file_journal import FileJournal
from storage.file_status import RecorderStatus, TracesStatus, write_status
from tests.support.histories import NOON, hit, numbered
from tests.support.keys import Keys
from tests.support.providers import Instance

STARTED_AT = 1_000.0
RECORDING_SINCE = 2_000.0


def told(data_dir, **fields):
    """A recorder has said this of itself at 5000."""
    said = {"drained_at": 5_000.0, "since": RECORDING_SINCE, **fields}
    write_status(data_dir, RecorderStatus(pid=1, at=5_000.0, backlog_bytes=0, frames=7, damaged=0, **said))


async def test_keys_are_down_until_seen_and_then_at_worst_old():
    """Unseen keys let nobody in; seen ones open on while the database is away, which is said."""
    keys = Keys()
    keys.store.is_away = True
    with pytest.raises(KeysUnavailable):
        await keys.ring.refresh()
    unseen = keys_health(keys.ring)
    keys.store.is_away = False
    await keys.ring.refresh()
    seen = keys_health(keys.ring)
    keys.store.is_away = True
    with pytest.raises(KeysUnavailable):
        await keys.ring.refresh()
    old = keys_health(keys.ring)

    assert [one.status for one in (unseen, seen, old)] == ["down", "ok", "degraded"]
    assert "since the start" in unseen.detail
    assert "a revoked one still opens" in old.detail
    assert [bool(one.advice) for one in (unseen, seen, old)] == [True, False, True]


async def test_providers_registered_at_run_time_are_never_down():
    """Without the log the chain is as it was last seen, or that of the settings, and both are said."""
    here = Instance()
    here.log.fault = "The event log is out of reach."
    await here.book.refresh()
    unseen = registrations_health(here.book)
    here.log.fault = ""
    await here.book.refresh()
    seen = registrations_health(here.book)
    here.log.fault = "The event log is out of reach."
    await here.book.refresh()
    old = registrations_health(here.book)
    await here.aclose()

    assert [one.status for one in (unseen, seen, old)] == ["degraded", "ok", "degraded"]
    assert "Only the providers of the settings" in unseen.detail
    assert "as they were last seen" in old.detail
    assert [bool(one.advice) for one in (unseen, seen, old)] == [True, False, True]


async def test_a_journal_that_cannot_be_written_is_down(tmp_path):
    """From the first failed write on the journal is down, for the reason the disk gave."""

    def refuse(*_):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    journal = FileJournal(tmp_path, write=refuse)
    before = journal_health(journal)
    failing_from = time.time()
    with pytest.raises(EventLogUnavailable):
        await journal.append("e-1", NOON, numbered(hit()), {})
    failed_by = time.time()
    after = journal_health(journal)

    assert before.status == "ok"
    assert after.status == "down"
    assert "Disk quota exceeded" in after.detail
    assert [before.advice, after.advice[:9]] == ["", "Make room"]
    assert failing_from <= after.since <= failed_by
    assert journal_health(journal).since == after.since
    await journal.aclose()


@pytest.mark.parametrize(
    ("said", "now", "status", "since"),
    [
        ({}, 5_001.0, "ok", RECORDING_SINCE),
        ({"fault": "The event log is out of reach."}, 5_001.0, "degraded", RECORDING_SINCE),
        ({}, 6_000.0, "degraded", 5_000.0 + REPORTS_LAG_S_MAX),
        ({"drained_at": 0.0}, 5_001.0, "degraded", RECORDING_SINCE),
    ],
    ids=["at work", "at fault", "dead", "never done"],
)
def test_a_recorder_is_as_it_is_since_it_became_so(tmp_path, said, now, status, since):
    """Not since its last drain: since its fault began or ended, or since its silence had been too long."""
    told(tmp_path, **said)

    shown = recorder_health(tmp_path, now, STARTED_AT)

    assert (shown.status, shown.since) == (status, since)
    assert bool(shown.advice) == (status != "ok")


@pytest.mark.parametrize(
    ("said", "lag_s"), [({}, 1.0), ({"drained_at": 4_901.0}, 100.0), ({"drained_at": 5_002.0}, 0.0)]
)
def test_figures_are_as_old_as_the_last_drain(tmp_path, said, lag_s):
    """What was recorded since may be missing; a clock that went back makes them no younger than now."""
    told(tmp_path, **said)

    assert recorder_lag_s(tmp_path, 5_001.0, STARTED_AT) == lag_s


def test_without_a_recorder_figures_lack_all_since_the_start(tmp_path):
    """Nothing that this gateway recorded can have been counted."""
    assert recorder_lag_s(tmp_path, STARTED_AT + 40.0, STARTED_AT) == 40.0


def test_a_recorder_that_never_ran_is_missing_from_the_start(tmp_path):
    """Where no recorder ever said a word it is missing for as long as the gateway runs."""
    shown = recorder_health(tmp_path, 5_000.0, STARTED_AT)

    assert (shown.status, shown.since) == ("degraded", STARTED_AT)


@pytest.mark.parametrize(
    ("traces", "now", "status", "since", "says"),
    [
        (None, 5_001.0, "degraded", STARTED_AT, "has run on this"),
        (TracesStatus(exported=7, since=3_000.0), 5_001.0, "ok", 3_000.0, "7 spans exported"),
        (TracesStatus(since=3_000.0, is_elsewhere=True), 5_001.0, "ok", 3_000.0, "another machine"),
        (TracesStatus(since=3_000.0, fault="Oh."), 5_001.0, "degraded", 3_000.0, "Oh. 0 calls were given up"),
        (TracesStatus(since=3_000.0), 6_000.0, "degraded", 5_000.0 + REPORTS_LAG_S_MAX, "is silent"),
    ],
    ids=["none", "at work", "elsewhere", "at fault", "dead"],
)
def test_the_export_of_traces_is_as_its_recorder_says(tmp_path, traces, now, status, since, says):
    """Degraded with what to do, never down: nothing depends on it."""
    told(tmp_path, traces=traces)

    seen = traces_health(tmp_path, now, STARTED_AT)

    assert (seen.status, seen.since) == (status, since)
    assert says in seen.detail
    assert bool(seen.advice) == (status != "ok")
