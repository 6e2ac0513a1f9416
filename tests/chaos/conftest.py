"""The installation of a test, and simulated upstreams shared by all of them."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import Installation
from tests.support.load import QUIET
from tests.support.processes import UpstreamProcess

collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]
"""Processes are found in /proc and their limits set with prlimit: only Linux has both."""

DELAY_MS = 10.0
"""How long a simulated provider takes: long enough to be killed in."""

OUTCOME = "fault, engine, seed"
"""The property of a test that belongs into the table of faults."""

DAY = "title and tables of a day"
"""The property of a test that has lived through one."""

Install = Callable[..., Installation]


@pytest.fixture(scope="session")
def upstreams() -> Iterator[tuple[UpstreamProcess, UpstreamProcess]]:
    """Tavily and Jina, started once: they take longer to start than most tests have."""
    with (
        UpstreamProcess("tavily_simulator", DELAY_MS) as tavily,
        UpstreamProcess("jina_simulator", DELAY_MS) as jina,
    ):
        yield tavily, jina


@pytest.fixture
async def install(
    upstreams: tuple[UpstreamProcess, UpstreamProcess], tmp_path: Path
) -> AsyncIterator[Install]:
    """Makes installations from settings; start them yourself. No process of theirs survives the test."""
    tavily, jina = upstreams
    tavily.obey(
        {
            "clear": True,
            "delay_s": DELAY_MS / 1_000,
            "when": {QUIET: {"kind": "variant", "variant_name": "empty"}},
        }
    )
    jina.obey({"clear": True, "delay_s": DELAY_MS / 1_000})
    made: list[Installation] = []

    def make(**settings: str) -> Installation:
        made.append(Installation(tavily, jina, tmp_path / f"data{len(made)}", **settings))
        return made[-1]

    yield make
    for installation in made:
        await installation.amos.kill_all()


@pytest.fixture
async def installation(install: Install) -> Installation:
    """A started installation with default settings."""
    made = install()
    await made.amos.start()
    return made


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what became of each fault of the record, by engine and seed, and what each day was like."""
    table: dict[tuple[str, str], dict[int, str]] = {}
    days: list[tuple[str, str]] = []
    for outcome, word in (("passed", "ok"), ("failed", "FAILED")):
        for report in terminalreporter.getreports(outcome):
            days += [value for name, value in report.user_properties if name == DAY]
            for fault, engine, seed in (value for name, value in report.user_properties if name == OUTCOME):
                table.setdefault((fault, engine), {})[seed] = word
    if table:
        terminalreporter.section("faults of the record")
    for (fault, engine), outcomes in table.items():
        seeds = "  ".join(f"seed {seed} {word}" for seed, word in sorted(outcomes.items()))
        terminalreporter.write_line(f"{fault:<52}{engine:<12}{seeds}")
    for title, tables in days:
        terminalreporter.section(title)
        terminalreporter.write_line(tables)
