"""What a flood of wrong keys costs those who hold a right one, and how much of it is written down.

A hundred searches a second with a valid key, answered from cache, alone and beside a thousand calls a second
with wrong ones, in turns. Promises: the 99th percentile of the valid ones at most doubles, none of them
fails, and the record grows by counts only.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import time
from collections.abc import Iterator

import httpx

from benchmarks.limits import WIDE, key_file
from benchmarks.load import Request, Tally, open_loop, post
from benchmarks.servers import OTHER_CORE, Amos, amos, pin, tavily
from orchestrator.api_keys import generate

VALID_PER_S = 100.0
WRONG_PER_S = 1_000.0
TURN_S = 5.0
RATIO_PROMISED = 2.0
FRAMES_PER_S_MAX = 5.0
"""A count for each reason and second, and what the instance tells of itself."""

BODY = b'{"query": "asked again and again"}'


class Turns:
    """The valid calls of all turns with and without the flood, and the wrong ones."""

    def __init__(self) -> None:
        self.alone, self.beside, self.wrong = Tally(), Tally(), Tally()
        self.frames_written, self.flood_s = 0, 0.0


def with_key(raw: str, port: int) -> Request:
    """A search with this key."""
    return post("/search", BODY, port, f"Authorization: Bearer {raw}\r\n")


def wrong_keys(port: int) -> Iterator[tuple[Request, str]]:
    """Calls with keys of the right form that nobody has, so that each has to be verified."""
    made = [with_key(generate(), port) for _ in range(200)]
    return ((request, "wrong") for request in itertools.cycle(made))


async def measure(seconds: float) -> Turns:
    """All turns, one after the other."""
    pin(os.getpid(), OTHER_CORE)
    turns = Turns()
    with contextlib.ExitStack() as running:
        raw, path = running.enter_context(key_file())
        provider = running.enter_context(tavily(delay_ms=0))
        ours = running.enter_context(amos({**provider, **WIDE, "AMOS_BOOTSTRAP_ADMIN_KEY_FILE": str(path)}))
        address = f"http://127.0.0.1:{ours.port}/search"
        httpx.post(address, content=BODY, headers={"Authorization": f"Bearer {raw}"}).raise_for_status()
        for _ in range(max(1, round(seconds / TURN_S / 2))):
            await _valid(turns.alone, ours.port, raw)
            await _beside_a_flood(turns, ours, raw)
    return turns


async def _valid(tally: Tally, port: int, raw: str) -> None:
    request = with_key(raw, port)
    turn = await open_loop(port, 20, VALID_PER_S, TURN_S, itertools.repeat((request, "valid")))
    tally.latencies_s.setdefault("valid", []).extend(turn.latencies_s["valid"])
    tally.errors += turn.errors


async def _beside_a_flood(turns: Turns, ours: Amos, raw: str) -> None:
    await asyncio.sleep(1.0)  # what was written so far reaches SQL
    before, begun = ours.stored_frames(), time.perf_counter()
    flood = open_loop(ours.port, 64, WRONG_PER_S, TURN_S, wrong_keys(ours.port))
    wrong, _ = await asyncio.gather(flood, _valid(turns.beside, ours.port, raw))
    await asyncio.sleep(1.0)
    turns.wrong.latencies_s.setdefault("wrong", []).extend(wrong.latencies_s["wrong"])
    turns.flood_s += time.perf_counter() - begun
    turns.frames_written += ours.stored_frames() - before - int(VALID_PER_S * TURN_S)


def run(seconds: float) -> bool:
    """Measure, print, and say whether the promises are kept."""
    turns = asyncio.run(measure(seconds))
    alone, beside = (tally.quantile_ms("valid", 0.99) for tally in (turns.alone, turns.beside))
    ratio, frames_per_s = beside / alone, turns.frames_written / turns.flood_s
    print(f"{VALID_PER_S:.0f} valid calls a second, {WRONG_PER_S:.0f} wrong ones in every second turn")
    for name, tally in (("alone", turns.alone), ("beside", turns.beside)):
        print(
            f"  {name:7} p50 {tally.quantile_ms('valid', 0.5):6.2f} ms   p99 "
            f"{tally.quantile_ms('valid', 0.99):6.2f} ms   {tally.errors} errors"
        )
    print(f"  p99 beside the flood {ratio:.2f} of alone; promised: at most {RATIO_PROMISED:.0f}")
    print(
        f"  {turns.wrong.count} wrong calls left {turns.frames_written} frames, {frames_per_s:.1f} a second;"
        f" promised: at most {FRAMES_PER_S_MAX:.0f}"
    )
    errors = turns.alone.errors + turns.beside.errors
    return ratio <= RATIO_PROMISED and not errors and frames_per_s <= FRAMES_PER_S_MAX
