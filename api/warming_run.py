"""A warming by command: what may be wished, and what it tells while it runs, wherever it was asked for."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from api.moments import moment
from api.rest.dialects.fields import build
from orchestrator.errors import CannotWarm, InvalidRequest
from orchestrator.events import FREE, MILLION
from orchestrator.warming import Warmed, Warming
from orchestrator.warming_plan import TOP_MAX, WarmingPolicy

USD_MAX = 1_000_000.0
"""As for the budgets of the settings."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /cache/warm`; `None` leaves a field to the settings.

    `since` is an age such as `7d`, or a moment; `budget_usd` the most that it may cost. With `dry_run`
    nothing is fetched.
    """

    top: int | None = None
    since: str | None = None
    budget_usd: float | None = None
    dry_run: bool = False

    def policy(self, policy: WarmingPolicy, now: float) -> WarmingPolicy:
        """The policy with what is wished otherwise. Raises InvalidRequest."""
        changes: dict[str, Any] = {}
        if self.top is not None:
            if not 1 <= self.top <= TOP_MAX:
                raise InvalidRequest(f"top: expected a number from 1 to {TOP_MAX}.", field="top")
            changes["top"] = self.top
        if self.since is not None:
            window_s = now - moment("since", self.since, now)
            if window_s <= 0:
                raise InvalidRequest("since: expected an age or a moment of the past.", field="since")
            changes["window_s"] = window_s
        if self.budget_usd is not None:
            if not 0 < self.budget_usd <= USD_MAX:
                raise InvalidRequest("budget_usd: expected an amount above 0.", field="budget_usd")
            changes["usd_micros_max"] = round(self.budget_usd * MILLION)
        return msgspec.structs.replace(policy, **changes)


def wish_of(body: dict[str, Any]) -> Wish:
    """The wish of a body. Raises InvalidRequest."""
    known = Wish.__struct_fields__
    if not body.keys() <= set(known):
        raise InvalidRequest(f"An unknown field was given; there are {', '.join(known)}.", field="body")
    return build(Wish, body, {})


@contextlib.asynccontextmanager
async def telling(warming: Warming | None, wish: Wish) -> AsyncIterator[Lines]:
    """A run that ends with the context, and what it tells. Raises InvalidRequest, CannotWarm."""
    if warming is None:
        raise CannotWarm("This gateway has no record to go by.")
    lines = Lines(warming, wish)
    try:
        yield lines
    finally:
        lines.cancel()
        await lines.ended()


class Lines:
    """What a run tells: for each candidate `{"candidate": …, "of": n}`, then `{"finished": …}`.

    A rehearsal ends with `{"rehearsed": …}`. Iterating raises CannotWarm and EventLogUnavailable.
    """

    def __init__(self, warming: Warming, wish: Wish) -> None:
        policy = wish.policy(warming.policy, time.time())
        work = _rehearse if wish.dry_run else _run
        # As many as there can be candidates, and the end: whoever tells never waits.
        self._queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(TOP_MAX + 1)
        self._task = asyncio.create_task(work(warming, policy, self._queue), name="warming by command")
        self._task.add_done_callback(lambda _: self._queue.put_nowait(None))

    def cancel(self) -> None:
        """End the run; what is under way is seen through."""
        self._task.cancel()

    async def ended(self) -> None:
        """Wait until it has ended, however."""
        await asyncio.wait([self._task])

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        """The lines, as they come; without an end if it was cancelled."""
        while (line := await self._queue.get()) is not None:
            yield line
        if not self._task.cancelled():
            yield self._task.result()


async def _run(
    warming: Warming, policy: WarmingPolicy, queue: asyncio.Queue[dict[str, Any] | None]
) -> dict[str, Any]:
    def tell(one: Warmed, total: int) -> None:
        queue.put_nowait(_line(one, total))

    finished = await warming.run(policy, cause="command", tell=tell)
    fields = {name: getattr(finished, name) for name in finished.__struct_fields__}
    return {"finished": {**fields, "cost": shown_cost(finished.cost)}}


async def _rehearse(
    warming: Warming, policy: WarmingPolicy, queue: asyncio.Queue[dict[str, Any] | None]
) -> dict[str, Any]:
    lines = await warming.rehearse(policy)
    for one in lines:
        queue.put_nowait(_line(one, len(lines)))
    due = [one.cost for one in lines if one.outcome == "due"]
    limit = policy.usd_micros_max
    return {
        "rehearsed": {
            "candidates": len(lines),
            "due": len(due),
            "cost": shown_cost(sum(due, FREE)),
            "budget_usd_micros": limit,
        }
    }


def _line(one: Warmed, total: int) -> dict[str, Any]:
    fields = {name: getattr(one, name) for name in one.__struct_fields__}
    return {"candidate": {**fields, "cost": shown_cost(one.cost)}, "of": total}


def shown_cost(cost: Any) -> dict[str, Any]:
    """A cost with all its fields, also those that are not written in events."""
    return {"amount": cost.amount, "unit": cost.unit, "usd_micros": cost.usd_micros}
