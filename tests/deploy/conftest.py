"""Two deployments, each started once for all its tests: behind nginx, and behind HAProxy."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.support.cluster import Cluster
from tests.support.deployment import Deployment
from tests.support.load import QUIET
from tests.support.proxies import HAProxy, Nginx

collect_ignore_glob = [] if sys.platform == "linux" else ["test_cluster*.py"]
"""Processes are found in /proc: only Linux has it."""


async def _deployment(proxy: type[Nginx] | type[HAProxy]) -> AsyncIterator[Deployment]:
    folder = Path(tempfile.mkdtemp(prefix="amos-cluster-"))
    try:
        async with Cluster(folder, proxy=proxy) as cluster:
            cluster.tavily.obey({"when": {QUIET: {"kind": "variant", "variant_name": "empty"}}})
            deployment = await Deployment.on(cluster)
            yield deployment
            await deployment.aclose()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session", name="deployment")
async def _behind_nginx() -> AsyncIterator[Deployment]:
    """Behind nginx."""
    async for deployment in _deployment(Nginx):
        yield deployment


@pytest_asyncio.fixture(scope="session", loop_scope="session", name="haproxy_deployment")
async def _behind_haproxy() -> AsyncIterator[Deployment]:
    """Behind HAProxy."""
    async for deployment in _deployment(HAProxy):
        yield deployment
