"""Numbers as people read them; the unit is the end of the name, as everywhere in AMOS (`_s`, `_bytes`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

ABSENT = "-"


def shown(name: str, value: Any, zone: tzinfo | None = None) -> str:
    """The value of the quantity `name`; `None` is shown as a dash, a list as its items.

    Moments are those of the zone, of this machine's without one.
    """
    if value is None or (isinstance(value, str | Mapping | list | tuple) and not value):
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        form = _format_of(name)
        return moment(value, zone)[: _TIME_LENGTHS.get(name)] if form is moment else form(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{label(str(key))} {shown(str(key), item, zone)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(shown(name, item, zone) for item in value)
    return str(value)


def label(name: str) -> str:
    """The name as a heading: without the unit that the value shows itself, and a ratio is called a rate."""
    if name.endswith("_ratio"):
        return name.removesuffix("_ratio").replace("_", " ") + " rate"
    if name == "usd_micros":
        return "usd"
    return name.removesuffix(_suffix_of(name)).replace("_", " ")


def seconds(value: float) -> str:
    """A duration in its own order of magnitude: `3.1 ms`, `1.25 s`, `2 min 5 s`, `3 h 20 min`, `4 d 2 h`."""
    if value < 0.9995:
        return f"{value * 1000:.3g} ms"
    if value < 59.5:
        return f"{value:.3g} s"
    whole = round(value)
    for size, name, part, part_name in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {name}" + (f" {rest} {part_name}" if rest else "")
    return f"{whole} s"


def size(value: float) -> str:
    """A number of bytes, in the decimal units disks are sold in: `512 B`, `4.2 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def ratio(value: float) -> str:
    """A share of one, in per cent: `87.5 %`."""
    return f"{value * 100:.1f} %"


def moment(value: float, zone: tzinfo | None = None) -> str:
    """A moment in the zone, or in local time, to the second: `2026-11-28 09:02:30`."""
    return datetime.fromtimestamp(value, UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def dollars(micros: float) -> str:
    """Millionths of a US dollar as dollars: `$0.008`."""
    return "$" + (f"{micros / 1e6:.6f}".rstrip("0").rstrip(".") or "0")


def number(value: float) -> str:
    """A plain number: whole ones in groups of three, others with four significant digits."""
    return f"{int(value):,}" if float(value).is_integer() else f"{value:.4g}"


def amount(value: float, unit: str) -> str:
    """A number of a provider's units, named in the plural: `1 credit`, `0.2 credits`, `10,000 tokens`."""
    return f"{number(value)} {unit.removesuffix('s') if value == 1 else unit}"


_FORMATS: dict[str, Callable[[float], str]] = {
    "_s": seconds,
    "_bytes": size,
    "_ratio": ratio,
    "_at": moment,
    "_usd_micros": dollars,
}
"""How a quantity is shown, by the end of its name; `usd_micros` alone is money too."""

_NAMED: dict[str, Callable[[float], str]] = {
    "availability": ratio,
    "since": moment,
    "until": moment,
    "minute": moment,
    "hour": moment,
    "day": moment,
}
"""Quantities whose name needs no unit to be understood."""


def is_amount(name: str) -> bool:
    """Whether the quantity is a count or money: numbers that add up, to be compared at a glance."""
    return _format_of(name) in {number, dollars}


_TIME_LENGTHS = {"minute": 16, "hour": 16, "day": 10}
"""Groups of time are shown as far as their beginnings differ: of a day the date is enough."""


def _suffix_of(name: str) -> str:
    return next((suffix for suffix in _FORMATS if f"_{name}".endswith(suffix)), "")


def _format_of(name: str) -> Callable[[float], str]:
    return _NAMED.get(name) or _FORMATS.get(_suffix_of(name), number)
