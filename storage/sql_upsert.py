"""The one way in which many rows are inserted, or added to those that are there."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Table


def on_conflict(table: Table, adds: Sequence[str], sets: Sequence[str]) -> str:
    """What happens to a row that is there already, in the SQL that SQLite and PostgreSQL share.

    The columns `adds` are added to, `sets` are replaced; without either the row is left alone.
    """
    key = ", ".join(_quoted(column.name) for column in table.primary_key)
    changes = [f"{_quoted(name)} = {table.name}.{_quoted(name)} + excluded.{_quoted(name)}" for name in adds]
    changes += [f"{_quoted(name)} = excluded.{_quoted(name)}" for name in sets]
    return f"ON CONFLICT ({key}) " + (f"DO UPDATE SET {', '.join(changes)}" if changes else "DO NOTHING")


def columns(table: Table) -> str:
    """All columns of a table, in their order."""
    return ", ".join(_quoted(column.name) for column in table.columns)


def _quoted(name: str) -> str:
    return f'"{name}"'
