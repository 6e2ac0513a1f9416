"""Shows events to a person: one line each, or one whole execution with its explanation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from api.cli.terminal_text import one_line
from api.quantities import amount, dollars, label, number, shown
from orchestrator.budget_policy import PROVIDER
from orchestrator.events import MILLION

if TYPE_CHECKING:
    from rich.console import RenderableType

STYLES = {"failed": "red", "opened": "red", "refused": "yellow", "throttled": "yellow", "hit": "green"}
"""Colours by the last word of an event's name; the rest is plain."""

HIDDEN = {"type", "key"}
"""Fields that say nothing to a person on a line: the type has a column, a cache key is a hash."""

SUMS = ("spent", "limit")
"""Fields of the facts about budgets that are millionths."""


def event_line(at: float, stream: str, event: Mapping[str, Any]) -> RenderableType:
    """One event of any execution: when, of which stream, what."""
    clock = datetime.fromtimestamp(at, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
    return Text.assemble((f"{clock}  ", "dim"), (f"{one_line(stream):<36}  ", "cyan"), *_what(event))


def execution_view(body: Mapping[str, Any]) -> RenderableType:
    """One execution: its facts with the time since its start, then why it ended as it did."""
    events = body.get("events", [])
    start = events[0]["at"] if events else 0.0
    lines = [
        Text.assemble((f"{(item['at'] - start) * 1000:>9.1f} ms  ", "dim"), *_what(item["event"]))
        for item in events
    ]
    why = [Text(f"  {one_line(str(sentence))}") for sentence in _explanation(body).get("why", [])]
    title = Text(one_line(str(body.get("execution_id", ""))), style="bold")
    return Group(title, Text(), *lines, Text(), *why)


def short_name(type_name: str) -> str:
    """`amos.attempt.failed.v1` as people say it: `attempt.failed`."""
    parts = type_name.split(".")
    return ".".join(parts[1:-1]) if len(parts) > 3 else type_name


def _what(event: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    name = short_name(str(event.get("type", "")))
    shown_as = _of_account(event) if "account" in event else _value
    fields = [f"{_name(key)}={shown_as(key, value)}" for key, value in event.items() if key not in HIDDEN]
    return (f"{one_line(name):<20}", STYLES.get(name.rpartition(".")[2], "")), ("  " + " ".join(fields), "")


def _name(field: str) -> str:
    return label(field).replace(" ", "_")


def _value(field: str, value: Any) -> str:
    if field == "options":
        return one_line(json.dumps(value))
    if isinstance(value, Mapping) and value.keys() <= {"amount", "unit", "usd_micros"}:
        return _price(value)
    if field == "expires_at" and not value:
        return "never"
    # A whole number without a unit may be a pid: those are not written in groups of three.
    is_plain = type(value) is int and _name(field) == field
    return one_line(str(value) if is_plain else shown(field, value))


def _of_account(event: Mapping[str, Any]) -> Callable[[str, Any], str]:
    """Shows sums of a budget: millionths of a dollar, or of a unit of the provider whose account it is."""
    sums = {name: value for name in SUMS if type(value := event.get(name)) is int}
    form = _units if str(event["account"]).startswith(PROVIDER) else dollars
    return lambda field, value: form(value) if field in sums else _value(field, value)


def _units(millionths: float) -> str:
    return number(millionths / MILLION)


def _price(cost: Mapping[str, Any]) -> str:
    money = dollars(cost.get("usd_micros", 0))
    if "amount" not in cost:
        return money
    return one_line(f"{amount(cost['amount'], str(cost.get('unit', '')))} ({money})")


def _explanation(body: Mapping[str, Any]) -> Mapping[str, Any]:
    found = body.get("explanation", body)
    return found if isinstance(found, Mapping) else {}
