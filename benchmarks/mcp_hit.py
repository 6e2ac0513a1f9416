"""`web_search` from cache beside bare tools of the SDK that return the same answer or two bytes.

All are on the same server and take turns every few seconds on the same core, in both eras of the protocol.
Promise: at least half the rate of each bare tool; the SDK itself takes most of the time of any.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import httpx

from benchmarks.load import Request, post
from benchmarks.servers import OTHER_CORE, Peer, amos, bare_mcp, pin, tavily
from benchmarks.turns import CONNECTIONS, Counted, in_turns

TURN_S = 3.0
RATIO_PROMISED = 0.5
SMALL = {"resultType": "complete", "content": [{"type": "text", "text": "ok"}]}
"""What a tool returns that does nothing at all: AMOS checks, records and sends some five kilobytes more."""

ERAS = {"2026-07-28": True, "2025-11-25": False}
"""The versions measured, and whether they are of the modern era."""


def call(version: str, port: int) -> Request:
    """One call of `web_search` as the bytes of a request."""
    params: dict[str, Any] = {"name": "web_search", "arguments": {"query": "how do circuit breakers recover"}}
    names = ""
    if ERAS[version]:
        params["_meta"] = {
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        names = "Mcp-Method: tools/call\r\nMcp-Name: web_search\r\n"
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    accept = "Accept: application/json, text/event-stream\r\n"
    return post("/mcp", body, port, f"{accept}MCP-Protocol-Version: {version}\r\n{names}")


async def measure(seconds: float) -> dict[str, dict[str, Counted]]:
    """The results by era and server."""
    pin(os.getpid(), OTHER_CORE)
    with tavily(delay_ms=0) as settings, amos(settings) as ours:
        result = _warmed(ours.port)
        with (
            bare_mcp(result, "at-once") as at_once,
            bare_mcp(result, "as-it-comes") as as_it_comes,
            bare_mcp(SMALL, "at-once") as small,
        ):
            servers = {
                "amos": Peer(ours.port, ours.worker_pid),
                "bare": at_once,
                "bare, two bytes": small,
                "bare, SDK's defaults": as_it_comes,
            }
            # In the legacy era these defaults answer by a stream, which this load generator does not read.
            results = {
                era: {
                    name: Counted(peer, call(era, peer.port))
                    for name, peer in servers.items()
                    if ERAS[era] or not name.endswith("defaults")
                }
                for era in ERAS
            }
            everybody = [one for era in results.values() for one in era.values()]
            for one in in_turns(everybody, seconds, TURN_S):
                await one.turn(TURN_S)
        print(
            f"answer of {len(json.dumps(result))} bytes, {CONNECTIONS} connections, turns of {TURN_S:.0f} s"
        )
    return results


def _warmed(port: int) -> dict[str, Any]:
    """The result of the call once it is cached."""
    for _ in range(2):
        head, _, body = call("2026-07-28", port).partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        answer = httpx.post(f"http://127.0.0.1:{port}/mcp", content=body, headers=headers)
    result: dict[str, Any] = answer.json()["result"]
    assert result["structuredContent"]["amos"]["cache"] == "l1", result
    return result


def run(seconds: float) -> bool:
    """Measure, print, and say whether the promise is kept."""
    kept = True
    for era, results in asyncio.run(measure(seconds)).items():
        ours = results["amos"]
        print(f"  {era}")
        for name, one in results.items():
            ratio = ours.per_s / one.per_s
            share = "" if one is ours else f"   AMOS has {ratio:.3f} of its rate"
            print(f"    {name:<21} {one.per_s:5.0f} req/s   {one.cpu_us:5.0f} µs CPU each{share}")
            kept = kept and ratio >= RATIO_PROMISED
    print(f"  promised: {RATIO_PROMISED} of the rate of every one")
    return kept
