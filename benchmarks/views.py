"""Cached hits with every view on, beside the same with all off: logs, traces, metrics, console, dashboards.

Two servers take turns. At one the recorder writes a log line for each call and sends spans to a collector
(Rotel), and in each turn the metrics are scraped, the console's overview is opened, its live list polled each
two seconds, and dashboards ask their views: as often as Prometheus and browsers do it, and oftener than
Grafana. At the other nothing of it is on. After each turn the recorder catches up, so that no turn pays for
another. Promise: at least 0.95 of the rate with all off.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import httpx
import msgspec

from api.console.data import CHARTS
from benchmarks.hit import QUERY
from benchmarks.load import post
from benchmarks.servers import OTHER_CORE, Amos, Peer, amos, cpu_s, pin, tavily
from benchmarks.turns import CONNECTIONS, Counted, in_turns
from tests.support.one_run import of_dashboards
from tests.support.rotel import Rotel

RATIO_PROMISED = 0.95

TURN_S = 15.0
"""From one scrape to the next (deploy/prometheus), and between two looks at the overview (charts.js)."""

LIVE_S = 2.0
"""How often the page of live executions asks."""

SETTLE_S_MAX = 60.0
"""A recorder that has not caught up by then never will."""

OFF = {"AMOS_LOG_EXECUTIONS": "none"}

SCRAPED = ("/metrics", "/metrics/instance", "/health")
OVERVIEW = (
    *("/console/overview?range=1h", "/console/overview/queries?range=1h"),
    *(f"/console/data/{chart}?range=1h" for chart in CHARTS),
)


class Side(msgspec.Struct):
    """One of the two servers, what was counted at it, and the processor time of its recorder so far."""

    name: str
    server: Amos
    hits: Counted
    looks: int = 0
    recorder_s: float = 0.0


async def measure(seconds: float) -> dict[str, Side]:
    """Both sides, by name."""
    pin(os.getpid(), OTHER_CORE)
    with ExitStack() as servers:
        settings = servers.enter_context(tavily(delay_ms=0))
        rotel = servers.enter_context(Rotel(None))
        pin(rotel.pid, OTHER_CORE)
        logs = Path(servers.enter_context(tempfile.TemporaryDirectory(prefix="amos-bench-logs-")))
        views = {"OTEL_EXPORTER_OTLP_ENDPOINT": rotel.base_url, "AMOS_LOG_FILE": str(logs / "amos.log")}
        sides = {
            name: _side(name, servers.enter_context(amos({**settings, **more})))
            for name, more in (("on", views), ("off", OFF))
        }
        for side in sides.values():
            await _settled(side)
        async with _looking(sides["on"]):  # a worker's first look at a page is not its usual one
            await asyncio.sleep(LIVE_S)
        of_hits = {id(side.hits): side for side in sides.values()}
        for hits in in_turns([side.hits for side in sides.values()], seconds, TURN_S):
            await _turn(of_hits[id(hits)])
        lines = sum(path.read_bytes().count(b"\n") for path in logs.iterdir())
        print(f"  {lines:,} log lines are in the files that are kept; {sides['on'].looks} looks at views")
    return sides


def _side(name: str, server: Amos) -> Side:
    for _ in range(2):
        answer = httpx.post(f"http://127.0.0.1:{server.port}/search", content=QUERY)
    assert answer.json()["amos"]["cache"] == "l1", answer.text
    hits = Counted(Peer(server.port, server.worker_pid), post("/search", QUERY, server.port))
    return Side(name, server, hits)


async def _turn(side: Side) -> None:
    begun_s = cpu_s(side.server.recorder_pid)
    if side.name == "on":
        async with _looking(side):
            await side.hits.turn(TURN_S)
    else:
        await side.hits.turn(TURN_S)
    await _settled(side)
    side.recorder_s += cpu_s(side.server.recorder_pid) - begun_s


@asynccontextmanager
async def _looking(side: Side) -> AsyncIterator[None]:
    """Somebody looks at every view for as long as the context lasts."""
    base = f"http://127.0.0.1:{side.server.port}"
    async with httpx.AsyncClient(base_url=base, timeout=30.0, trust_env=False) as client:
        looks = (
            *(_all(side, client, SCRAPED), _all(side, client, OVERVIEW)),
            *(_live(side, client), _dashboards(side)),
        )
        tasks = [asyncio.create_task(look) for look in looks]
        try:
            yield
        finally:
            for task in tasks:
                if not task.done():
                    task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError):
                    await task


async def _all(side: Side, client: httpx.AsyncClient, paths: Sequence[str]) -> None:
    for path in paths:
        await _look(side, client, path)


async def _live(side: Side, client: httpx.AsyncClient) -> None:
    while True:
        await _look(side, client, f"/console/live/rows?after={max(side.server.stored_frames() - 50, 0)}")
        await asyncio.sleep(LIVE_S)


async def _look(side: Side, client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.is_success, f"{path}: {answer.status_code}"
    side.looks += 1


async def _dashboards(side: Side) -> None:
    await asyncio.to_thread(of_dashboards, side.server.data_dir / "amos.db")
    side.looks += 1


async def _settled(side: Side) -> None:
    """Wait until the recorder has nothing to do any more."""
    gives_up_at = time.monotonic() + SETTLE_S_MAX
    seen = (-1, -1.0)
    while seen != (now := (side.server.stored_frames(), round(cpu_s(side.server.recorder_pid), 1))):
        assert time.monotonic() < gives_up_at, "the recorder does not catch up"
        seen = now
        await asyncio.sleep(1.0)


def run(seconds: float) -> bool:
    """Measure, print, and say whether the promise is kept."""
    sides = asyncio.run(measure(seconds))
    print(f"  {CONNECTIONS} connections, {seconds:.0f} s each in turns of {TURN_S:.0f} s")
    for side in sides.values():
        recorder_us = 1e6 * side.recorder_s / side.hits.count
        rate = f"{side.hits.per_s:6.0f} req/s"
        cpu = f"{side.hits.cpu_us:4.0f} µs in the worker, {recorder_us:4.0f} µs in the recorder"
        print(f"  views {side.name:3}  {rate}   CPU each: {cpu}")
    ratio = sides["on"].hits.per_s / sides["off"].hits.per_s
    print(f"  {ratio:.3f} of the rate with all off; promised: {RATIO_PROMISED}")
    return ratio >= RATIO_PROMISED
