"""`./amos cluster [--proxy haproxy] [--port N] [--delay-ms N]`: a whole deployment, to try things on.

It lives in a temporary folder and ends, all of it, with Ctrl-C. The providers are simulated: nothing is paid.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.cluster import Cluster
from tests.support.proxies import HAProxy, Nginx, Proxy

PROXIES: dict[str, type[Proxy]] = {"nginx": Nginx, "haproxy": HAProxy}


def main() -> int:
    """Run the cluster until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="amos cluster", description=__doc__)
    parser.add_argument("--proxy", choices=PROXIES, default="nginx")
    parser.add_argument(
        "--port", type=int, default=8080, help="of the proxy; 0 takes a free one (default 8080)"
    )
    parser.add_argument("--delay-ms", type=float, default=200.0, help="how long the simulated providers take")
    options = parser.parse_args()
    return asyncio.run(_run(options))


async def _run(options: argparse.Namespace) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    folder = Path(tempfile.mkdtemp(prefix="amos-cluster-"))

    def proxy(instances: Sequence[str]) -> Proxy:
        return PROXIES[options.proxy](instances, port=options.port)

    try:
        cluster = Cluster(folder, proxy=proxy, delay_ms=options.delay_ms, say=lambda what: _say(f"… {what}"))
        running = asyncio.create_task(_until_stopped(cluster, folder, stop))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if stop.is_set() and not cluster.is_up:
            running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


async def _until_stopped(cluster: Cluster, folder: Path, stop: asyncio.Event) -> None:
    async with cluster:
        _say(_description(cluster, folder))
        await stop.wait()
        _say("… stopping")


def _description(cluster: Cluster, folder: Path) -> str:
    url, key = cluster.proxy.base_url, cluster.admin_key
    instances = "\n".join(f"              {instance.base_url}" for instance in cluster.instances)
    valkeys = ", ".join(f"127.0.0.1:{valkey.port}" for valkey in cluster.stores.valkeys)
    return f"""
AMOS runs on {url}   (MCP: {url}/mcp)

  admin key   {key}
  instances
{instances}
  PostgreSQL  {cluster.stores.database_url}
  Valkey      {valkeys}; asked for by {cluster.stores.redis_url}
  Tavily      {cluster.tavily.base_url}/_control   what it was asked, and orders to fail
  Jina        {cluster.jina.base_url}/_control
  logs        {folder}/gateway-*.log, {cluster.proxy.folder}/log

  curl -s {url}/search -H 'Authorization: Bearer {key}' -d '{{"query":"tide tables"}}'
  curl -s {url}/health -H 'Authorization: Bearer {key}'

Ctrl-C ends all of it."""


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
