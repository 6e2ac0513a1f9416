"""CSV for spreadsheets, of which no cell is taken for a formula; a report as one flat table of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

MEDIA_TYPE = "text/csv"

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""A spreadsheet takes a cell that begins like this for a formula, also the full-width forms (OWASP, CSV
Injection, read 2026-11-28)."""

ASKED = frozenset({"since", "until", "tz", "by"})
"""Members of a report that repeat the question."""


def harmless(text: str) -> str:
    """The text with an apostrophe before it, which spreadsheets do not show, if it would be a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def csv_lines(rows: Iterable[Iterable[Any]]) -> bytes:
    """RFC 4180 in UTF-8: commas, quotes where needed, CRLF at the end of each line."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)  # its default is what RFC 4180 describes
    return text.getvalue().encode("utf-8", "replace")


def report_csv(report: Mapping[str, Any]) -> bytes:
    """A report as a heading and lines; what is unknown is an empty cell, an object or list within is JSON.

    Without lines the heading is what they would begin with, because many readers refuse a table without one.
    """
    rows = report_rows(report)
    columns = list(dict.fromkeys(column for row in rows for column in row)) or [report.get("by") or "list"]
    return table_csv(columns, rows)


def table_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """A heading and lines; what is unknown is an empty cell, an object or list within is JSON."""
    return csv_lines([columns, *([_cell(row.get(column)) for column in columns] for row in rows)])


def report_rows(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The table of a report: its rows if it has groups, else its totals in one row, else its lists.

    Of several lists the first column is the name.
    """
    if report.get("by"):
        return list(report["rows"])
    figures = {name: value for name, value in report.items() if name not in ASKED}
    lists = {name: value for name, value in figures.items() if _is_list(value) and name != "rows"}
    totals = _flat({name: value for name, value in figures.items() if not _is_list(value)})
    if totals:
        asked = {name: report[name] for name in ("since", "until", "tz") if name in report}
        return [{**asked, **totals}]
    return [
        {"list": name, **row} if len(lists) > 1 else row for name, found in lists.items() for row in found
    ]


def _flat(figures: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Objects within as columns of their own, but for counts by name: their names differ from day to day."""
    flat: dict[str, Any] = {}
    for name, value in figures.items():
        if isinstance(value, Mapping) and not all(isinstance(count, int) for count in value.values()):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping | list | tuple):
        return msgspec.json.encode(value).decode()
    return value
