"""`amos budget`: what is limited, spent and counted, here or on a server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine, InThisProcess
    from tests.support.tavily_simulator import TavilySimulator


def test_nothing_is_limited(amos: CommandLine):
    """Then it says how to limit something."""
    shown = amos.run("budget")

    assert shown.exit_code == 0
    assert "Nothing is limited; AMOS_BUDGET_USD_PER_DAY" in shown.stdout
    assert "No provider was asked yet" in shown.stdout


def test_without_keys_there_is_nobody_to_ask(amos: CommandLine):
    """Who has just asked is not told to ask."""
    shown = amos.run("budget", "--reconcile")

    assert shown.exit_code == 0
    assert "No provider has a key" in shown.stdout
    assert "--reconcile" not in shown.stdout


async def test_what_was_spent_here(amos: InThisProcess, web: TavilySimulator):
    """Accounts with their limits, and after --reconcile what the provider has counted."""
    amos.environment |= {"AMOS_BUDGET_USD_PER_MONTH": "1", "AMOS_TAVILY_CREDITS_PER_DAY": "4"}
    for number in range(3):
        assert (await asyncio.to_thread(amos.apart.run, "search", f"question {number}")).exit_code == 0

    first = await asyncio.to_thread(amos.apart.run, "budget", "--reconcile", "--json")
    shown = await asyncio.to_thread(amos.apart.run, "budget")

    accounts = {one["account"]: one for one in first.json["accounts"]}
    assert (accounts["all"]["spent"], accounts["all"]["limit"]) == (0.024, 1.0)
    assert (accounts["provider:tavily"]["left"], accounts["provider:tavily"]["unit"]) == (1.0, "credits")
    assert first.json["not_told"] == []
    assert [line.split()[:1] for line in shown.stdout.splitlines() if line.startswith(("all", "provider"))]
    assert "75.0 %" in shown.stdout
    assert "tavily" in shown.stdout
    assert web.counts["/usage"] == 1


def test_what_a_server_has_spent(amos: CommandLine, server: str):
    """The same from a running server."""
    there = amos.run("budget", "--json", "--url", server)
    asked = amos.run("budget", "--reconcile", "--json", "--url", server)

    assert (there.exit_code, asked.exit_code) == (0, 0)
    assert there.json == {"accounts": [], "usage": []}
    assert asked.json == {"accounts": [], "usage": [], "not_told": []}
