"""Schemathesis, the program, against a running gateway: what it is told, and what it says it found."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.api_keys import SCOPES
from orchestrator.key_admin import KeyWish
from tests.support.fuzz_statuses import STATUSES_FILE
from tests.support.gateway_server import GatewayServer, serving
from tests.support.jina_simulator import JinaSimulator
from tests.support.tavily_simulator import TavilySimulator

ROOT = Path(__file__).resolve().parent.parent.parent

UNLIMITED = 1_000_000_000
"""Limits have tests of their own; a fuzzer that is kept waiting by them finds nothing else."""

DRAIN_S = 0.5
"""As often as the recorder does: reports that are further behind than 30 s are refused, rightly."""

CONFIGURATION = """\
# What it remembers of its last run would make this one another.
[cache]
enabled = false

# OpenAPI 3.1 cannot say QUERY, which /search answers too.
[[operations]]
include-path = "/search"
[operations.phases.coverage]
unexpected-methods = ["put", "delete", "patch", "trace"]
"""


class Found(msgspec.Struct, frozen=True):
    """What a run has found: its report, how the program ended, all it printed, and the answers by status."""

    report: dict[str, Any]
    exit_code: int
    text: str
    statuses: dict[str, int]

    @property
    def cases(self) -> int:
        """How many requests were made up, sent and checked."""
        counted: int = self.report["test_cases"]["generated"]
        return counted

    @property
    def failures(self) -> list[Any]:
        """What went wrong, in the report's words."""
        return [*self.report["failures"], *self.report["errors"]]


@contextlib.asynccontextmanager
async def fuzzed_gateway(folder: Path) -> AsyncIterator[tuple[GatewayServer, str]]:
    """A gateway with every provider, its recorder at work, and a key that may do everything."""
    documents = folder / "documents"
    documents.mkdir()
    (documents / "tides.md").write_text("# Tides\n\nTide tables of the sea.\n", encoding="utf-8")
    rates = dict.fromkeys(("rate_burst", "rate_per_minute", "rate_per_hour"), UNLIMITED)
    async with (
        TavilySimulator() as tavily,
        JinaSimulator() as jina,
        serving(folder / "data", tavily=tavily, jina=jina, local_paths=(documents,), **rates) as amos,
    ):
        await amos.drain()
        assert amos.gateway.keys is not None
        made = await amos.gateway.keys.create(KeyWish(client="fuzzer", scopes=SCOPES), by="test")
        draining = asyncio.create_task(_drain(amos))
        try:
            yield amos, made.raw
        finally:
            draining.cancel()
            await asyncio.wait([draining])


async def schemathesis(amos: GatewayServer, key: str, folder: Path, *options: str) -> Found:
    """Run it on all operations. It is a process of its own, with `fuzz_hooks` as its hooks."""
    configuration = folder / "schemathesis.toml"
    configuration.write_text(CONFIGURATION, encoding="utf-8")
    report, statuses = folder / "report.json", folder / "statuses.json"
    program = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "schemathesis"),
        *("--config-file", str(configuration), "run", f"{amos.base_url}/openapi.json"),
        *("--url", amos.base_url, "--header", f"Authorization: Bearer {key}", "--no-color"),
        # Keys that are made up get no further than the door: the check of ignored keys tries those.
        *("--generation-with-security-parameters", "false"),
        *("--report", "json", "--report-json-path", str(report), "--generation-database", "none"),
        *options,
        cwd=ROOT,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.support.fuzz_hooks",
            "PYTHONPATH": str(ROOT),
            STATUSES_FILE: str(statuses),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        printed, _ = await program.communicate()
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    text = printed.decode(errors="replace")
    assert report.exists(), text
    assert program.returncode is not None
    counted = json.loads(statuses.read_bytes())
    return Found(json.loads(report.read_bytes()), program.returncode, text, counted)


async def _drain(amos: GatewayServer) -> None:
    while True:
        await asyncio.sleep(DRAIN_S)
        await amos.drain()
