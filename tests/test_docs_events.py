"""docs/events.md and docs/reports.md tell the truth: every event, column, stage and grouping is there."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from orchestrator.event_types import EVENT_TYPES
from orchestrator.history import CALLERS_OWN
from orchestrator.reports.catalogue import REPORTS as EVERY_REPORT
from orchestrator.reports.hit_rate import WAYS
from storage.sql_tables import frames, metadata
from tests.support.histories import answered, numbered

DOCS = Path(__file__).resolve().parent.parent / "docs"
EVENTS = (DOCS / "events.md").read_text(encoding="utf-8")
REPORTS = (DOCS / "reports.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(?P<type>amos\.[a-z_.]+\.v\d+)` \| (?P<fields>[^|]*) \|", re.MULTILINE)


def test_every_event_is_documented_with_its_fields():
    """The table of events has exactly the types of the code, with exactly their fields."""
    documented = {row["type"]: re.findall(r"`(\w+)`", row["fields"]) for row in ROW.finditer(EVENTS)}

    assert documented == {
        str(event.__struct_config__.tag): [field.name for field in msgspec.structs.fields(event)]
        for event in EVENT_TYPES
    }


@pytest.mark.parametrize("name", [*metadata.tables, *(column.name for column in frames.columns)])
def test_every_table_and_column_of_the_log_is_named(name):
    """Whoever queries the database finds its tables, and the columns of the log, on the page."""
    assert f"`{name}`" in EVENTS


@pytest.mark.parametrize("word", [*sorted(CALLERS_OWN), *WAYS[:-1]])
def test_every_word_of_a_definition_is_explained(word):
    """What is left out of availability, and how a cache can serve, is on the page about reports."""
    assert f"`{word}`" in REPORTS


@pytest.mark.parametrize("report", EVERY_REPORT.values(), ids=EVERY_REPORT)
def test_every_grouping_is_listed(report):
    """The page lists by what each report can be grouped."""
    row = rf"^\| `{report.name}` \|.*\| {', '.join(report.by) or '-'} \|$"
    assert re.search(row, REPORTS, re.MULTILINE)


def test_the_example_of_an_envelope_is_shaped_like_ours():
    """Number, moment and event, in that order, as the frame on the page shows."""
    (envelope,) = numbered((answered(),))

    assert list(msgspec.to_builtins(envelope)) == ["seq", "at", "event"]
    assert '[{"seq": 1, "at": ' in EVENTS
