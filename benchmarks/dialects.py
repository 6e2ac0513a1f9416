"""A cached hit in each dialect beside the native path and method, on the same server.

All take turns every second against one AMOS, so that what the neighbours do to one they do to the others.
What is compared is the processor time of the worker for each answer, which a busy machine changes little; the
rates are beside it. A GET is compared with a native GET, whose answer has four headers more than that of a
POST. Promise: no dialect takes more than a tenth more than the native path.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

from benchmarks.load import Request, post
from benchmarks.servers import OTHER_CORE, Amos, Peer, amos, pin, tavily
from benchmarks.turns import CONNECTIONS, Counted, in_turns

TURN_S = 1.0
ANSWER_S_MAX = 10.0
RATIO_PROMISED = 1.10

POST, GET = "POST /search", "GET /search"

QUERY = b"how do circuit breakers recover"
RESULTS = 10
"""As many as every dialect can ask for, so that one cached answer serves all."""


class Result(Counted):
    """What was counted in one dialect; `native` is what it is compared with."""

    native: str = POST


def questions(ours: Amos) -> dict[str, Result]:
    """The same question in every dialect, by method and path."""
    port, peer = ours.port, Peer(ours.port, ours.worker_pid)
    native = b'{"query":"%b","max_results":%d}' % (QUERY, RESULTS)
    webui = b'{"query":"%b","count":%d}' % (QUERY, RESULTS)
    form = b"q=%b&format=json" % QUERY.replace(b" ", b"+")
    link = b"q=%b&max_results=%d" % (QUERY.replace(b" ", b"+"), RESULTS)
    posted = {
        "/search": native,
        "/v1/search": native,
        "/perplexity/search": native,
        "/openwebui/search": webui,
        "/searxng/search": form,
    }
    return {
        **{f"POST {path}": Result(peer, post(path, body, port)) for path, body in posted.items()},
        GET: Result(peer, _get(b"/search?" + link, port), native=GET),
        "GET /searxng/search": Result(peer, _get(b"/searxng/search?" + form, port), native=GET),
    }


def _get(target: bytes, port: int) -> Request:
    return b"GET %b HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % (target, port)


async def measure(seconds: float) -> dict[str, Result]:
    """The results by method and path."""
    pin(os.getpid(), OTHER_CORE)
    with tavily(delay_ms=0) as settings, amos(settings) as ours:
        results = questions(ours)
        await _see_that_all_hit(ours.port, results)
        for one in in_turns([*results.values()], seconds, TURN_S):
            await one.turn(TURN_S)
    return results


async def _see_that_all_hit(port: int, results: Mapping[str, Result]) -> None:
    """Have the answer cached by the native path, and see that every dialect finds that one."""
    for name, one in results.items():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(one.request.replace(b"Host:", b"Connection: close\r\nHost:", 1))
        answer = await asyncio.wait_for(reader.read(), ANSWER_S_MAX)
        writer.close()
        assert b"amos-l1; hit" in answer or name == POST, answer
        print(f"  {name}: answer of {len(answer)} bytes with its headers")


def run(seconds: float) -> bool:
    """Measure, print, and say whether the promise is kept."""
    results = asyncio.run(measure(seconds))
    print(f"{CONNECTIONS} connections, {seconds:.0f} s each in turns of {TURN_S:.0f} s")
    shares = {name: one.cpu_us / results[one.native].cpu_us for name, one in results.items()}
    for name, one in results.items():
        share = "" if name == one.native else f"   {shares[name]:.3f} of {one.native}"
        print(f"  {name:<23} {one.per_s:5.0f} req/s   {one.cpu_us:4.0f} µs CPU each{share}")
    print(f"  promised: {RATIO_PROMISED:.2f} at most")
    return all(share <= RATIO_PROMISED for share in shares.values())
