"""`amos doctor --url`: what a running server, its process and its last hour say, the worst first."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from api.cli.doctor_finding import Finding, explained
from api.cli.doctor_server import check_server
from orchestrator import limits
from storage.file_backlog import LOOK_S
from tests.support.faults import Fault
from tests.support.gateway_server import GatewayServer, serving
from tests.support.http_server import DeadPort
from tests.support.ports import free_port
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from pathlib import Path


async def found(amos: GatewayServer) -> dict[str, Finding]:
    """What the doctor finds at the server, the worst first, when all is in the database."""
    await amos.drain()
    findings = explained(await check_server(amos.base_url, None))
    assert all(finding.effect for finding in findings if finding.is_bad)
    return {finding.name: finding for finding in findings}


async def test_a_sound_server_has_nothing_to_tell(tmp_path: Path):
    """Whatever is in order is ok or not in use, and the last hour lost nothing."""
    async with TavilySimulator() as tavily, serving(tmp_path, tavily=tavily) as amos:
        await amos.search("tide tables")
        seen = await found(amos)

    assert {name for name, one in seen.items() if one.is_bad} <= {"recorder"}  # nobody runs one in this test
    assert seen["server"].status == "ok"
    assert seen["calls of the last hour"].detail == "1, none lost"


async def test_a_refused_key_is_told_with_its_variable(tmp_path: Path):
    """Lost calls, the open circuit, since when and why, and the refused key: each with a next step."""
    async with TavilySimulator() as tavily, serving(tmp_path, tavily=tavily) as amos:
        tavily.always(Fault.status(401))
        for number in range(6):
            await amos.search(f"tide tables {number}")
        seen = await found(amos)

    lost, circuit, key = (
        seen[name] for name in ("calls of the last hour", "provider:tavily", "provider tavily, last hour")
    )
    assert next(iter(seen)) in {"provider:tavily", "calls of the last hour"}
    assert (lost.status, lost.effect) == ("failure", "0.0 % of the calls had a useful answer.")
    assert circuit.status == "failure"
    assert "Circuit open after key_refused" in circuit.detail
    assert circuit.since > 0
    assert "TAVILY_API_KEY" in key.next_step


async def test_a_used_up_quota_says_so(tmp_path: Path):
    """A plan that is spent is no broken key: the advice is another."""
    async with TavilySimulator() as tavily, serving(tmp_path, tavily=tavily) as amos:
        tavily.always(Fault.status(432))
        await amos.search("tide tables")
        seen = await found(amos)

    assert "Its quota is used up" in seen["provider tavily, last hour"].next_step


async def test_a_proxy_nobody_declared_is_named(tmp_path: Path):
    """Calls that a proxy passes on without a key are counted with the setting that is missing."""
    async with TavilySimulator() as tavily, serving(tmp_path, tavily=tavily) as amos:
        await amos.search("tide tables", {"X-Forwarded-For": "203.0.113.7"})
        await asyncio.sleep(1.2)  # refusals are recorded once a second
        seen = await found(amos)

    assert "AMOS_TRUSTED_PROXIES" in seen["callers"].next_step


async def test_a_budget_nearly_spent_is_a_warning_and_a_spent_one_a_failure(tmp_path: Path):
    """From the first mark of an account on it is told, and at its end as what it is."""
    options = {"budget_usd_per_day": 0.01, "budget_usd_per_month": 0.008}
    async with TavilySimulator() as tavily, serving(tmp_path, tavily=tavily, **options) as amos:
        await amos.search("tide tables")
        seen = await found(amos)

    statuses = [one.status for name, one in seen.items() if name.startswith("budget all")]
    assert statuses == ["failure", "warning"]


async def test_a_journal_that_fills_up_is_told_before_it_is_full(tmp_path: Path):
    """More than half of what it may hold is a warning; full, it is down, and so is the server."""
    bytes_max = limits.JOURNAL_SEGMENT_BYTES
    async with (
        TavilySimulator() as tavily,
        serving(tmp_path, tavily=tavily, journal_max_bytes=bytes_max) as amos,
    ):
        other = tmp_path / "journal" / "other.000001.seg"
        other.write_bytes(bytes(bytes_max * 2 // 3))
        await asyncio.sleep(LOOK_S)
        half = {one.name: one for one in await check_server(amos.base_url, None)}
        other.write_bytes(bytes(bytes_max))
        await asyncio.sleep(LOOK_S)
        full = {one.name: one for one in await check_server(amos.base_url, None)}
        other.unlink()

    assert (half["server"].status, half["journal size"].status) == ("ok", "warning")
    assert (full["server"].status, full["journal"].status) == ("failure", "failure")
    assert "Make room" in full["journal"].next_step


async def test_nobody_there_is_a_finding():
    """An address at which nobody answers, or something else does, is one failure with a next step."""
    with DeadPort() as dead:
        (nobody,) = await check_server(dead.base_url, None)
    async with TavilySimulator() as other:
        (stranger,) = await check_server(other.base_url, None)
    (free,) = await check_server(f"127.0.0.1:{free_port()}", None)

    assert [one.status for one in (nobody, stranger, free)] == ["failure"] * 3
    assert all(one.next_step for one in (nobody, stranger, free))
