"""A provider that hangs now and then gets company: what callers see, and what the accounts say afterwards."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from orchestrator.hedging import HedgePolicy
from orchestrator.reports.catalogue import REPORTS
from tests.support import naive_check, naive_metrics
from tests.support.gateway_server import serving
from tests.support.jina_simulator import JinaSimulator
from tests.support.naive_fold import Question, facts_of
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from pathlib import Path

KNOWN = HedgePolicy().samples_min
"""Answers after which a provider's usual time is known."""


@pytest.fixture
async def tavily():
    """Tavily, simulated: it takes a moment, and hangs at one question."""
    async with TavilySimulator(delay_s=0.05) as running:
        running.when("abyss", Fault.hang())
        yield running


@pytest.fixture
async def jina():
    """Jina, simulated."""
    async with JinaSimulator() as running:
        yield running


async def test_a_question_that_hangs_is_answered_and_accounted_for(
    tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator
) -> None:
    """The caller has the other's answer long before the first would be given up; both are counted."""
    async with serving(tmp_path, tavily=tavily, jina=jina, hedge_ratio=1.0) as amos:
        await asyncio.gather(*(amos.search(f"question {n}") for n in range(KNOWN)))
        began = time.monotonic()
        answer = await amos.search("the abyss")
        took_s = time.monotonic() - began
        told = answer.json()["amos"]

        await amos.drain()
        events = [event["type"] for event in amos.events(told["execution_id"])]
        report = (await amos.client.get("/reports/cost", params={"by": "provider"})).json()
        rows = {row["provider"]: row for row in (await amos.client.get("/reports/providers")).json()["rows"]}

    assert (answer.status_code, told["provider"]) == (200, "jina")
    assert took_s < 4.0, "an attempt would be given up after 5 s"
    assert [(one["provider"], one["outcome"]) for one in told["attempts"]] == [
        ("tavily", "ignorable"),
        ("jina", "success"),
    ]
    assert events.count("amos.attempt.hedged.v1") == 1
    assert events[-1] == "amos.request.completed.v1"
    assert (tavily.count, jina.count) == (KNOWN + 1, 1)
    spent = {row["provider"]: row for row in report["rows"]}
    assert spent["tavily"]["spent_usd_micros"] == KNOWN * 8_000
    assert spent["tavily"]["assumed_usd_micros"] == 8_000
    assert (rows["tavily"]["hedged"], rows["tavily"]["failed"], rows["jina"]["fallbacks"]) == (1, 0, 1)


async def test_every_figure_of_a_hedged_search_is_the_fold(
    tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator
) -> None:
    """Reports, however they are grouped, and metrics count a second call as they count any other."""
    async with serving(tmp_path, tavily=tavily, jina=jina, hedge_ratio=1.0) as amos:
        await asyncio.gather(*(amos.search(f"question {n}") for n in range(KNOWN)))
        assert (await amos.search("the abyss")).json()["amos"]["provider"] == "jina"
        await amos.drain()
        facts = facts_of(amos.frames())

        for name in naive_check.REPORTS:
            for by in ("", *REPORTS[name].by):
                found = (await amos.client.get(f"/reports/{name}", params={"by": by} if by else {})).json()
                naive_check.check(name, found, facts, Question(by))
        metrics = await amos.client.get("/metrics")
        assert naive_metrics.shown(metrics.text) == naive_metrics.counted(facts)
        hedged = ("amos_provider_hedges_total", frozenset({("provider", "tavily")}))
        assert naive_metrics.shown(metrics.text)[hedged] == 1


async def test_by_default_nobody_pays_twice(
    tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator
) -> None:
    """Without a word of the operator a slow answer is waited for."""
    tavily.when("slow", Fault.delay(1.0))
    async with serving(tmp_path, tavily=tavily, jina=jina) as amos:
        await asyncio.gather(*(amos.search(f"question {n}") for n in range(KNOWN)))
        answer = (await amos.search("slow")).json()

    assert answer["amos"]["provider"] == "tavily"
    assert jina.count == 0
