"""What every test of the command line has: `amos` on a data folder of its own, pages, and servers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from storage.sql_engine import sqlite_url
from tests.support.command_line import InThisProcess
from tests.support.postgres import shared_postgres
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.support.command_line import CommandLine

HOSTILE_TITLE = "Owned \x1b]0;pwned\x07\x1b[2J\u202egnp.exe"

PAGES = {
    "breaker.md": "# Circuit breaker\n\nA circuit breaker stops calling a provider that keeps failing.\n",
    "tides.txt": "Tide tables of the harbour museum.\n\nHigh water is at 06:40 and 19:05.\n",
    "hostile.md": f"# {HOSTILE_TITLE}\n\nA hostile passage about kraken \x1b[31m sightings.\n",
}


@pytest.fixture
def amos(tmp_path: Path) -> InThisProcess:
    """A command line whose local provider searches `PAGES`, and whose data folder is still empty.

    It is that of this process, wherever a test does not need one of its own.
    """
    pages = tmp_path / "pages"
    pages.mkdir()
    for name, text in PAGES.items():
        (pages / name).write_text(text, encoding="utf-8")
    return InThisProcess(tmp_path, {"AMOS_DATA_DIR": str(tmp_path / "var"), "AMOS_LOCAL_PATHS": str(pages)})


@pytest.fixture(params=["sqlite", "postgresql"])
def database(amos: CommandLine, request: pytest.FixtureRequest) -> str:
    """The address of a database without tables that the command line is configured for; one of each kind."""
    if request.param == "sqlite":
        return sqlite_url(amos.folder / "var" / "amos.db")
    url = shared_postgres().new_database()
    amos.environment |= {"AMOS_DATABASE_URL": url, "AMOS_KEY_PEPPER": "p" * 32}
    return url


@pytest.fixture
def server(amos: CommandLine) -> Iterator[str]:
    """The address of `amos serve` on the same data folder."""
    with amos.started("serve", "--port", "0") as process:
        assert process.stdout is not None
        ready = re.search(r"http://\S+", process.stdout.readline())
        assert ready is not None
        yield ready[0]


@pytest.fixture
async def web(amos: CommandLine) -> AsyncIterator[TavilySimulator]:
    """A simulated Tavily that the command line is configured for."""
    async with TavilySimulator() as tavily:
        amos.environment |= {"TAVILY_API_KEY": tavily.api_key, "AMOS_TAVILY_BASE_URL": tavily.base_url}
        yield tavily
