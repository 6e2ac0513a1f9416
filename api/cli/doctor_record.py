"""The part of `amos doctor` that reads the database: what went wrong lately, and whose circuit is open."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from api.cli.doctor_finding import WARNING, Finding
from api.cli.doctor_lately import WINDOW, check_lately
from api.moments import moment as moment_of
from api.quantities import moment, seconds
from api.rest import reports
from orchestrator.errors import EventLogUnavailable
from orchestrator.facts import CircuitOpened
from storage.sql_engine import open_engine
from storage.sql_event_log import newest_recorded_at
from storage.sql_projector import frames_behind
from storage.sql_raw_events import Selection, raw_events
from storage.sql_reports import SqlReports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from api.settings import Settings
    from storage.sql_raw_events import Page

AHEAD_S_MAX = 5.0
"""chosen: clocks that the network sets agree within a second; a frame of a later moment is no rounding."""


class Record(NamedTuple):
    """How many frames the reports have not counted, and what the record shows of the last hour."""

    behind: int = 0
    findings: tuple[Finding, ...] = ()


async def read_record(settings: Settings) -> Record:
    """What the database tells; nothing where it cannot be read, which another check says."""
    engine = open_engine(settings.database_url)
    now = time.time()
    try:
        health = await reports.answer(SqlReports(engine), "health", (("since", WINDOW),), now)
        found = [*check_lately(health), *check_clock(await newest_recorded_at(engine), now)]
        for provider in health["providers"]:
            found += await _circuit(partial(raw_events, engine), provider, now)
        return Record(await frames_behind(engine), tuple(found))
    except EventLogUnavailable:
        return Record()
    finally:
        await engine.dispose()


def check_clock(newest_at: float | None, now: float) -> list[Finding]:
    """Whether anything was recorded later than now: then the clock was, or is, wrong."""
    if newest_at is None or newest_at <= now + AHEAD_S_MAX:
        return []
    return [
        Finding(
            name="clock",
            status=WARNING,
            detail=f"The newest record is of {moment(newest_at)}, {seconds(newest_at - now)} from now",
            next_step="Compare `date` on all instances; let the network set their clocks (`timedatectl`).",
        )
    ]


async def _circuit(
    read: Callable[[Selection], AsyncIterator[Page]], provider: dict[str, Any], now: float
) -> list[Finding]:
    """The circuit of a provider, if the last that was recorded of it within the window is that it opened."""
    name = provider["provider"]
    if not provider["circuit"]:
        return []
    last = None
    selection = Selection(since=moment_of("since", WINDOW, now), stream=f"circuit:{name}")
    async for page in read(selection):
        last = page.events[-1] if page.events else last
    if last is None:
        return []
    opened = msgspec.json.decode(last.event)
    if opened["type"] != CircuitOpened.__struct_config__.tag:
        return []
    again = f", {opened['openings']} times in a row" if opened.get("openings", 1) > 1 else ""
    return [
        Finding(
            name=f"circuit {name}",
            status=WARNING,
            since=last.at,
            detail=f"open after {opened['reason']}{again}; for {seconds(opened['cooldown_s'])} at least",
            next_step="It closes by itself when a probe is answered. If it stays, look at the provider's "
            "status page, plan and key; `amos doctor --online` asks it once.",
        )
    ]
