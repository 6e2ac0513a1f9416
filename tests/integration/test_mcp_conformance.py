"""The conformance suite of the Model Context Protocol itself finds no fault with `/mcp`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.gateway_server import GatewayServer, serving
from tests.support.node import install_conformance_suite, run_scenario
from tests.support.tavily_simulator import TavilySimulator

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

LEGACY, MODERN = "2025-11-25", "2026-07-28"

SCENARIOS = [
    ("server-initialize", "2025-06-18"),
    ("server-initialize", LEGACY),
    ("ping", LEGACY),
    ("tools-list", "2025-06-18"),
    ("tools-list", LEGACY),
    ("tools-list", MODERN),
    ("dns-rebinding-protection", LEGACY),
    ("dns-rebinding-protection", MODERN),
    ("http-header-validation", MODERN),
    ("caching", MODERN),
]
"""Scenarios that need no tools of the suite's own, in the revisions they exist for."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def amos(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayServer]:
    """One gateway for all scenarios, with the suite installed."""
    install_conformance_suite()
    async with (
        TavilySimulator() as tavily,
        serving(tmp_path_factory.mktemp("var"), tavily=tavily) as running,
    ):
        yield running


@pytest.mark.parametrize(("scenario", "version"), SCENARIOS)
async def test_the_suite_finds_no_fault(amos: GatewayServer, scenario: str, version: str):
    """Every check of the scenario passes, and there was one at least."""
    output = await run_scenario(f"{amos.base_url}/mcp", scenario, version)

    counted = re.search(r"Passed: (\d+)/(\d+), 0 failed, 0 warnings", output)
    assert counted, output
    assert counted[1] == counted[2] != "0"
