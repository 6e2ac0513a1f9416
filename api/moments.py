"""Moments and durations as people write them, in a URL or on the command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo

from orchestrator.errors import InvalidRequest

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(?P<count>[0-9]{1,9})(?P<unit>[smhdw])")
_EPOCH = re.compile(r"[0-9]{9,11}(\.[0-9]{1,6})?")  # shorter is more likely an age without its unit


def duration_s(text: str) -> int | None:
    """The seconds of `90m`, `24h`, `7d` or `2w`; `None` for what is no duration."""
    found = _DURATION.fullmatch(text)
    return None if found is None else int(found["count"]) * _UNITS_S[found["unit"]]


def moment(field: str, text: str, now: float, zone: tzinfo = UTC) -> float:
    """A moment in epoch seconds: `now`, an age (`90m`, `24h`, `7d`, `2w`), epoch seconds or ISO 8601.

    ISO text without an offset is in the zone; what lies before 1970 is 1970. Raises InvalidRequest.
    """
    if text == "now":
        return now
    if (age_s := duration_s(text)) is not None:
        return max(0.0, now - age_s)
    if _EPOCH.fullmatch(text):
        return float(text)
    try:
        # A plus sign of an offset arrives as a blank from clients that do not encode it.
        parsed = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        return max(0.0, (parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)).timestamp())
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(
            f"{field}: expected an age such as 24h or 7d, a moment such as 2026-11-22T10:00:00Z, or now.",
            field=field,
        ) from error
