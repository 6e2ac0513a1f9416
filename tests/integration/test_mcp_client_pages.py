"""docs/clients/ tells the truth: what it says was run is run, and blocks are as their clients read them."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from orchestrator.key_admin import KeyWish
from tests.support.gateway_server import GatewayServer, serving
from tests.support.processes import ROOT, environment
from tests.support.tavily_simulator import TavilySimulator

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

FOLDER = ROOT / "docs" / "clients"
PAGES = sorted(page.name for page in FOLDER.glob("*.md") if page.name != "README.md")
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)

RUN_BY_TESTS = ["agno.md", "python.md"]
"""Pages whose programs are run as they stand."""

ADDRESS = "http://127.0.0.1:8000"
KEYS = ("<key>", "${AMOS_KEY}", "${env:AMOS_KEY}")
CLIENT_S = 120.0


def blocks(page: str, language: str) -> list[str]:
    """The blocks of a page in this language."""
    text = (FOLDER / page).read_text(encoding="utf-8")
    return [found["text"] for found in BLOCK.finditer(text) if found["language"] == language]


def configurations() -> list[tuple[str, dict[str, Any]]]:
    """Every configuration in the common format, with its page."""
    parsed = [(page, json.loads(text)) for page in PAGES for text in blocks(page, "json")]
    return [(page, value) for page, value in parsed if "mcpServers" in value]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tavily() -> AsyncIterator[TavilySimulator]:
    """Tavily, simulated."""
    async with TavilySimulator() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def without_keys(
    tmp_path_factory: pytest.TempPathFactory, tavily: TavilySimulator
) -> AsyncIterator[GatewayServer]:
    """A gateway as it is on one's own machine."""
    async with serving(tmp_path_factory.mktemp("var"), tavily=tavily) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def with_key(
    tmp_path_factory: pytest.TempPathFactory, tavily: TavilySimulator
) -> AsyncIterator[tuple[GatewayServer, str]]:
    """A gateway that wants a key, and one."""
    async with serving(tmp_path_factory.mktemp("var"), tavily=tavily) as running:
        await running.drain()
        assert running.gateway.keys is not None
        made = await running.gateway.keys.create(KeyWish(client="acme"), by="test")
        yield running, made.raw


def pointed(text: str, amos: GatewayServer, key: str) -> str:
    """A block with the address and the key of a running gateway in place of those that stand for them."""
    for placeholder in KEYS:
        text = text.replace(placeholder, key)
    return text.replace(ADDRESS, amos.base_url)


async def output_of(*arguments: str, stdin: str = "") -> str:
    """What this Python prints with these arguments."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        cwd=ROOT,
        env=environment({}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(CLIENT_S):
        output, complaints = await process.communicate(stdin.encode())
    assert process.returncode == 0, complaints.decode()
    return output.decode()


@pytest.mark.parametrize("page", RUN_BY_TESTS)
async def test_the_programs_of_a_page_run(
    without_keys: GatewayServer, with_key: tuple[GatewayServer, str], page: str
):
    """Each program finds the tools or a result, with a key where it shows one and without where not."""
    programs = [
        pointed(text, *with_key) if KEYS[0] in text else pointed(text, without_keys, "")
        for text in blocks(page, "python")
    ]

    printed = (await output_of("-c", "\n".join(programs))).splitlines()

    assert len(printed) == len(programs) == 2
    assert all("web_search" in line or line.startswith("https://") for line in printed)


async def test_the_configurations_work(
    tmp_path: Path, tavily: TavilySimulator, with_key: tuple[GatewayServer, str]
):
    """Those that name an address reach it with its key; those that name our command start it and search."""
    amos, key = with_key
    chosen = [
        as_here(json.loads(pointed(json.dumps(value), amos, key)), tmp_path, tavily)
        for _, value in configurations()
        if value["mcpServers"]["amos"].get("command") != "npx"
    ]

    answers = json.loads(await output_of("-m", "tests.support.configured_client", stdin=json.dumps(chosen)))

    assert len(answers) == 3
    assert [answer["amos"]["provider"] for answer in answers] == ["tavily"] * 3
    assert all(len(answer["results"]) == 2 for answer in answers)


def as_here(configuration: dict[str, Any], folder: Path, tavily: TavilySimulator) -> dict[str, Any]:
    """A configuration that starts the command as it is installed here, with a data folder of its own."""
    server = configuration["mcpServers"]["amos"]
    if "command" in server:
        assert server["command"] == "/srv/amos/amos"
        server |= {"command": sys.executable, "args": ["-m", "api.cli", *server["args"]]}
        server["env"] |= {
            **environment({}),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'api' / 'sdk'}",
            "AMOS_DATA_DIR": str(folder / "var"),
            "AMOS_TAVILY_BASE_URL": tavily.base_url,
            "TAVILY_API_KEY": tavily.api_key,
        }
    return configuration


async def test_every_configuration_has_a_way_in():
    """A command that is ours or a well-known bridge to our address, or the address itself."""
    assert {page for page, _ in configurations()} == {"claude-code.md", "claude-desktop.md", "cursor.md"}
    (vscode,) = (json.loads(text) for text in blocks("vscode.md", "json"))
    servers = [value["mcpServers"]["amos"] for _, value in configurations()] + [vscode["servers"]["amos"]]
    for server in servers:
        way = [server.get("command"), *server.get("args", ()), server.get("url")]
        assert way[:2] == ["/srv/amos/amos", "mcp"] or f"{ADDRESS}/mcp" in way
    assert vscode["servers"]["amos"]["type"] == "http"
    assert [given["id"] for given in vscode["inputs"]] == ["amos-key"]


async def test_every_page_says_whether_it_was_run():
    """In its first sentence, and the table of all pages has it."""
    table = (FOLDER / "README.md").read_text(encoding="utf-8")
    for page in PAGES:
        assert f"]({page})" in table
        heading, _, first = (FOLDER / page).read_text(encoding="utf-8").partition("\n\n")
        assert heading.startswith("# ")
        assert first.startswith(("Run by the tests", "Run by hand on 2026-", "Not run by us"))
        assert first.startswith("Run by the tests") == (page in RUN_BY_TESTS)
