"""The conformance suite of the Model Context Protocol itself finds no fault with `/mcp`.

Which of its scenarios apply, and to what, is written in docs/mcp-conformance.md, which these tests read.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.conformance import (
    install_conformance_suite,
    listed_scenarios,
    report_on,
    run_scenario,
)
from tests.support.gateway_server import GatewayServer, serving
from tests.support.mcp_demo import demo_serving
from tests.support.processes import ROOT
from tests.support.tavily_simulator import TavilySimulator

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

EARLIER, LEGACY, MODERN = "2025-06-18", "2025-11-25", "2026-07-28"
REVISIONS = (LEGACY, MODERN)

_ROW = re.compile(
    r"^\| `(?P<name>\S+)` \| (?P<legacy>\S+) \| (?P<modern>\S+) \| (?P<reason>.*) \|$", re.MULTILINE
)

TABLE = {
    row["name"]: (row["legacy"], row["modern"], row["reason"])
    for row in _ROW.finditer((ROOT / "docs" / "mcp-conformance.md").read_text())
}
"""What docs/mcp-conformance.md says of each scenario."""


def pairs(what: str) -> list[tuple[str, str]]:
    """The scenarios, each with its revision, of which the table says this."""
    return [
        (name, revision)
        for name, row in TABLE.items()
        for revision, said in zip(REVISIONS, row, strict=False)
        if said == what
    ]


@pytest.fixture(scope="module")
def suite() -> None:
    """The suite, installed."""
    install_conformance_suite()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def amos(tmp_path_factory: pytest.TempPathFactory, suite: None) -> AsyncIterator[GatewayServer]:
    """One gateway for all scenarios."""
    async with (
        TavilySimulator() as tavily,
        serving(tmp_path_factory.mktemp("var"), tavily=tavily) as running,
    ):
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo(suite: None) -> AsyncIterator[str]:
    """The suite's own tools behind our endpoint."""
    async with demo_serving() as url:
        yield url


async def test_no_scenario_is_left_out(suite: None):
    """Each scenario of the suite is in the table, in each revision it has; what does not apply says why."""
    there_are = {
        name: tuple(revision in revisions or "extension" in revisions for revision in REVISIONS)
        for name, revisions in (await listed_scenarios()).items()
    }

    assert {name: (legacy != "-", modern != "-") for name, (legacy, modern, _) in TABLE.items()} == there_are
    assert {said for legacy, modern, _ in TABLE.values() for said in (legacy, modern)} <= {
        *("AMOS", "tools", "no", "-")
    }
    assert all(reason for legacy, modern, reason in TABLE.values() if "no" in (legacy, modern))


@pytest.mark.parametrize(
    ("scenario", "version"), [*pairs("AMOS"), ("server-initialize", EARLIER), ("tools-list", EARLIER)]
)
async def test_the_suite_finds_no_fault(amos: GatewayServer, scenario: str, version: str):
    """Every check of the scenario passes, and there was one at least."""
    assert_all_passed(await run_scenario(f"{amos.base_url}/mcp", scenario, version))


@pytest.mark.parametrize(("scenario", "version"), pairs("tools"))
async def test_it_finds_none_on_the_way_to_its_own_tools(demo: str, scenario: str, version: str):
    """Every check passes of what its tools return, report and refuse, through our endpoint and transports."""
    assert_all_passed(await run_scenario(demo, scenario, version))


async def test_without_its_tools_nothing_else_is_amiss(amos: GatewayServer):
    """Of the scenario about having no sessions only those checks fail that ask for tools we do not have."""
    status, output = await report_on(f"{amos.base_url}/mcp", "server-stateless", MODERN)

    errors = re.findall(r"^ +Error: (.*)$", output, re.MULTILINE)
    assert status == 1
    assert len(errors) == 4, output
    assert all(error.startswith("Not testable: server does not list the diagnostic tool") for error in errors)
    assert "Passed: 21/25, 4 failed, 0 warnings" in output


def assert_all_passed(output: str) -> None:
    """The suite counts what passed, all of it, and warns of nothing."""
    counted = re.search(r"Passed: (\d+)/(\d+), 0 failed, 0 warnings", output)
    assert counted, output
    assert counted[1] == counted[2] != "0"
