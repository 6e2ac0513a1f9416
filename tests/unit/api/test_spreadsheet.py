"""Spreadsheets: a report is one table, and no cell of it acts."""

from __future__ import annotations

import csv
import io

import pytest

from api.spreadsheet import FORMULA_STARTS, report_csv, report_rows
from orchestrator.reports.catalogue import REPORTS
from tests.support.histories import mixture, numbered
from tests.support.reported import report_of

ASKED = {"since": 0, "until": 60, "tz": "UTC"}


def parsed(report):
    """The table as a reader of RFC 4180 sees it."""
    return list(csv.DictReader(io.StringIO(report_csv(report).decode(), newline=""), strict=True))


def test_groups_are_rows():
    """A grouped report is its rows, in their order; what is unknown is empty, and numbers stay numbers."""
    rows = [{"client": "a", "calls": 2, "hit_ratio": None}, {"client": "b", "calls": 1, "hit_ratio": 0.25}]

    table = report_csv(ASKED | {"by": "client", "calls": 3, "rows": rows})

    assert table == b"client,calls,hit_ratio\r\na,2,\r\nb,1,0.25\r\n"


@pytest.mark.parametrize(("by", "heading"), [("client", b"client\r\n"), ("", b"list\r\n")])
def test_a_table_without_lines_has_a_heading(by, heading):
    """A quiet hour is a table as well: no line stands below its heading."""
    assert report_csv(ASKED | {"by": by, "rows": [], "top": [], "slow": []}) == heading


def test_totals_are_one_row():
    """Without groups the window and the totals are a row; counts by name are JSON."""
    report = ASKED | {"by": "", "calls": 3, "requests": {"total": 3, "errors": {"not_found": 1}}, "rows": []}

    assert parsed(report) == [
        {
            "since": "0",
            "until": "60",
            "tz": "UTC",
            "calls": "3",
            "requests.total": "3",
            "requests.errors": '{"not_found":1}',
        }
    ]


def test_lists_are_one_table():
    """Of several lists each row says to which it belongs."""
    report = ASKED | {"by": "", "top": [{"key": "a"}], "slow": [{"key": "b"}], "empty": []}

    assert report_rows(report) == [{"list": "top", "key": "a"}, {"list": "slow", "key": "b"}]


@pytest.mark.parametrize("start", FORMULA_STARTS)
def test_text_is_never_a_formula(start):
    """Whatever a stranger has searched for is shown and not computed; a negative number stays one."""
    text = f'{start}HYPERLINK("http://evil.example")'

    (row,) = parsed(ASKED | {"by": "text", "rows": [{"text": text, "assumed": -5}]})

    assert row == {"text": f"'{text}", "assumed": "-5"}


def test_cells_may_hold_anything():
    """Commas, quotes, line breaks and letters of the world come back as they were."""
    text = 'tide, "high"\r\n潮汐 \x00'

    (row,) = parsed(ASKED | {"by": "text", "rows": [{"text": text}]})

    assert row["text"] == text


@pytest.mark.parametrize(
    ("report", "by"), [(report, by) for report in REPORTS.values() for by in ("", *report.by)]
)
def test_every_report_is_a_table(report, by):
    """Whatever is asked, there is a heading, and every line has a cell for each column."""
    events = [event for history in mixture() for event in history]

    lines = list(
        csv.reader(io.StringIO(report_csv(ASKED | report_of(report, numbered(events), by)).decode()))
    )

    assert len(lines) > 1
    assert len({len(line) for line in lines}) == 1
    assert len(set(lines[0])) == len(lines[0])
