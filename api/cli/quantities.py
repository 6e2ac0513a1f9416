"""Numbers as people read them; the unit is the end of the name, as everywhere in AMOS (`_s`, `_bytes`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

ABSENT = "-"


def shown(name: str, value: Any) -> str:
    """The value of the quantity `name`; `None` is shown as a dash, a list as its items."""
    if value is None or (isinstance(value, str | Mapping | list | tuple) and not value):
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return _format_of(name)(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {shown(str(key), item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(shown(name, item) for item in value)
    return str(value)


def label(name: str) -> str:
    """The name as a heading: without the unit that the value shows itself."""
    unit = next((suffix for suffix in _FORMATS if name.endswith(suffix)), "")
    return name.removesuffix(unit).replace("_", " ")


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


def moment(value: float) -> str:
    """A moment in local time, to the second."""
    return datetime.fromtimestamp(value, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def dollars(micros: float) -> str:
    """Millionths of a US dollar as dollars: `$0.008`."""
    return "$" + (f"{micros / 1e6:.6f}".rstrip("0").rstrip(".") or "0")


def number(value: float) -> str:
    """A plain number: whole ones in groups of three, others with four significant digits."""
    return f"{int(value):,}" if float(value).is_integer() else f"{value:.4g}"


_FORMATS: dict[str, Callable[[float], str]] = {
    "_s": seconds,
    "_bytes": size,
    "_ratio": ratio,
    "_at": moment,
    "_usd_micros": dollars,
    "_count": number,
}


_MOMENTS = {"since", "until", "minute", "hour", "day"}
"""Names of moments that need no unit to be understood."""


def _format_of(name: str) -> Callable[[float], str]:
    if name in _MOMENTS:
        return moment
    return next((format_ for suffix, format_ in _FORMATS.items() if name.endswith(suffix)), number)
