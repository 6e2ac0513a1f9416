"""`./amos bench [NAME …] [options]`: measure, print, exit 1 if a promise is not kept."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import (
    console,
    dialects,
    executions,
    flights,
    flood,
    footprint,
    history,
    hit,
    l2,
    l2_lost,
    lag,
    limits,
    mcp_hit,
    mcp_parts,
    memory,
    miss,
    promise,
    store,
    views,
    zipf,
)

BENCHMARKS = {
    "hit": hit,
    "dialects": dialects,
    "l2": l2,
    "l2_lost": l2_lost,
    "miss": miss,
    "limits": limits,
    "flights": flights,
    "flood": flood,
    "mcp": mcp_hit,
    "mcp_parts": mcp_parts,
    "promise": promise,
    "footprint": footprint,
    "store": store,
    "lag": lag,
    "history": history,
    "executions": executions,
    "zipf": zipf,
    "memory": memory,
    "views": views,
    "console": console,
}

KEPT = {"history", "console", "executions"}
"""Benchmarks of a large log, which can be kept for the next time."""


def main() -> int:
    """Run the benchmarks named, or all."""
    parser = argparse.ArgumentParser(prog="amos bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"any of {', '.join(BENCHMARKS)}; all when none is named")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each measurement (default 60)")
    parser.add_argument(
        "--frames", type=int, default=1_000_000, help="of history, console and executions: how many"
    )
    parser.add_argument("--folder", type=Path, help="of both: where to keep them, to ask again")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(BENCHMARKS):
        parser.error(f"unknown benchmark: {', '.join(sorted(unknown))}")
    kept = True
    for name in arguments.names or BENCHMARKS:
        print(f"== {name}: {(BENCHMARKS[name].__doc__ or '').splitlines()[0]}")
        more = {"count": arguments.frames, "folder": arguments.folder} if name in KEPT else {}
        is_kept = BENCHMARKS[name].run(arguments.seconds, **more)
        print("  kept" if is_kept else "  NOT KEPT")
        kept = kept and is_kept
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
