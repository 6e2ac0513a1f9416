"""Warming by itself, in a process that is there for long."""

from __future__ import annotations

import contextlib

from api.background import running
from api.policies import schedule_of
from api.settings import Settings
from orchestrator.ports import Clock
from orchestrator.warming import Warming
from orchestrator.warming_schedule import WarmingSchedule


def on_schedule(
    warming: Warming, settings: Settings, clock: Clock
) -> contextlib.AbstractAsyncContextManager[None]:
    """Warm when the settings say so, for as long as the context lasts; most installations never do.

    Enter it last: leaving ends a run under way, and waits for its searches within their deadline.
    """
    if not settings.warms:
        return contextlib.nullcontext()
    schedule = WarmingSchedule(warming, schedule_of(settings), clock)
    return running(schedule.run(), "warming")
