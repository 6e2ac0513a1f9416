"""Plug-ins in the chain: one of a stranger serves searches, and one that misbehaves harms nobody else."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support.gateway_server import serving
from tests.support.plugin_package import WIKIPEDIA, install, write_metadata
from tests.support.processes import ROOT, AmosProcesses
from tests.support.wiki_simulator import WikiSimulator

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.tavily_simulator import TavilySimulator

PATIENCE_S = {"hang": 0.5, "swallow": 0.5}
"""A rogue that does not end costs half a second; everybody else has the time they always have."""


@pytest.fixture
def rogue(tmp_path, monkeypatch):
    """A plug-in with the kind `rogue` is installed."""
    folder = tmp_path / "plugins"
    write_metadata(folder, "rogue", "1.0", {"rogue": "tests.support.rogue_kinds:ROGUE"})
    monkeypatch.syspath_prepend(folder)
    return folder


def rogue_first(**options: str) -> dict[str, Any]:
    """Settings with the rogue before Tavily."""
    timed = {**options, "timeout_s": PATIENCE_S.get(options["does"])}
    return {"providers": ("rogue", "tavily"), "provider_options": {"rogue": timed}}


@pytest.mark.parametrize(
    ("does", "how", "reason"),
    [
        ("hang", "", "timeout"),
        ("swallow", "", "timeout"),
        ("raise", "a bug", "plugin_error"),
        ("raise", "the end", "plugin_error"),
        ("raise", "another name", "plugin_error"),
        ("garbage", "nothing", "bad_shape"),
        ("garbage", "results are dicts", "bad_shape"),
        ("garbage", "a score that is no number", "bad_shape"),
        ("garbage", "half a character", "bad_shape"),
        ("garbage", "another name", "bad_shape"),
        ("garbage", "a negative cost", "bad_shape"),
        ("garbage", "a million results", "too_large"),
        ("garbage", "a title of 20 MB", "too_large"),
        ("block and fail", "", "plugin_error"),
    ],
)
async def test_the_next_provider_answers(
    tmp_path: Path, tavily: TavilySimulator, rogue: Path, does: str, how: str, reason: str
):
    """Whatever a plug-in does, the caller gets an answer from the next one, and the record says why."""
    settings = rogue_first(does=does, how=how)
    async with asyncio.timeout(20), serving(tmp_path, tavily=tavily, **settings) as amos:
        response = await amos.search("tide tables")
        await amos.drain()

        assert response.status_code == 200, response.text
        assert response.json()["amos"]["provider"] == "tavily"
        attempts = amos.attempts(response.json()["amos"]["execution_id"])
        assert attempts == [("rogue", reason), ("tavily", "")]


async def health_of(amos: Any, component: str) -> dict[str, Any]:
    """One component as /health shows it."""
    body = (await amos.client.get("/health")).json()
    (found,) = [one for one in body["components"] if one["name"] == component]
    return found


@pytest.mark.parametrize(
    ("does", "fact"),
    [("block", "amos.provider.blocked_loop.v1"), ("swallow", "amos.provider.call_abandoned.v1")],
)
async def test_what_harms_others_is_reported(
    tmp_path: Path, tavily: TavilySimulator, rogue: Path, does: str, fact: str
):
    """A plug-in that holds the loop, or will not end, is in the record once, and degraded in health."""
    async with serving(tmp_path, tavily=tavily, **rogue_first(does=does)) as amos:
        for query in ("tide tables", "harbour dues"):
            assert (await amos.search(query)).status_code == 200
        shown = await health_of(amos, "provider:rogue")
        await amos.drain()

        assert [event["type"] for event in amos.events("provider:rogue")] == [fact]
        assert shown["status"] == "degraded"
        assert "amos providers test rogue" in shown["advice"]


async def test_a_rogue_does_not_stop_the_others(tmp_path: Path, tavily: TavilySimulator, rogue: Path):
    """While its calls hang callers are answered by the next one, and it is not asked for long."""
    settings = rogue_first(does="swallow")
    async with serving(tmp_path, tavily=tavily, **settings) as amos:
        answers = await asyncio.gather(*(amos.search(f"question {n}") for n in range(20)))
        last = await amos.search("one more")

    assert {answer.json()["amos"]["provider"] for answer in answers} == {"tavily"}
    assert last.json()["amos"]["attempts"][0]["reason"] == "circuit_open"


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ("be no provider", "It is no provider: it has no search()."),
        ("be another", "It is no provider: its name is not the one it was given."),
        ("exit", "It could not be made: SystemExit."),
        ("something else", "It could not be made: KeyError."),
    ],
)
async def test_one_that_cannot_be_made_is_left_out(
    tmp_path: Path, tavily: TavilySimulator, rogue: Path, does: str, why: str
):
    """The others serve, and health says what is wrong with it."""
    async with serving(tmp_path, tavily=tavily, **rogue_first(does=does)) as amos:
        assert (await amos.search("tide tables")).json()["amos"]["provider"] == "tavily"
        shown = await health_of(amos, "provider:rogue")

    assert (shown["status"], shown["detail"]) == ("unconfigured", why)


async def test_a_plugin_called_like_a_kind_of_ours_is_told_of(
    tmp_path: Path, tavily: TavilySimulator, rogue: Path
):
    """It is not used, whoever asks for that name gets ours, and the operator is told."""
    write_metadata(rogue, "usurper", "1.0", {"tavily": "tests.support.rogue_kinds:ROGUE"})
    async with serving(tmp_path, tavily=tavily, providers=("tavily",)) as amos:
        answer = (await amos.search("tide tables")).json()
        shown = await health_of(amos, "plugins")

    assert answer["results"][0]["url"].startswith("https://")
    assert tavily.count == 1
    assert shown["status"] == "degraded"
    assert "The plug-in tavily is not used" in shown["detail"]


@pytest.fixture
async def wiki():
    """A wiki, simulated."""
    async with WikiSimulator(delay_s=0.02) as running:
        yield running


@pytest.fixture
def with_wiki(tmp_path, wiki):
    """An installation in whose path the example is installed, and whose chain is that wiki."""
    plugins = install(WIKIPEDIA, tmp_path / "plugins")
    options = {"url": wiki.base_url, "contact": "a@example.org"}
    settings = {
        "PYTHONPATH": f"{ROOT}:{plugins}",
        "AMOS_PROVIDERS": "wikipedia",
        "AMOS_PROVIDER_OPTIONS": json.dumps({"wikipedia": options}),
    }
    return AmosProcesses(tmp_path / "var", settings)


async def test_the_example_serves_searches(wiki: WikiSimulator, with_wiki: AmosProcesses):
    """A provider of somebody else, installed as packages are, answers without a change to AMOS."""
    async with with_wiki, httpx.AsyncClient(base_url=with_wiki.base_url, trust_env=False) as client:
        answer = await client.post("/search", json={"query": "Jupiter", "topic": "news"}, timeout=20)

    body = answer.json()
    assert answer.status_code == 200, answer.text
    assert [one["url"] for one in body["results"]] == [
        f"{wiki.base_url}/wiki/Jupiter_%28{number}%29" for number in (1, 2, 3)
    ]
    assert body["results"][0]["content"] == "Jupiter is the fifth planet from the Sun"
    assert (body["amos"]["provider"], body["amos"]["unsupported"]) == ("wikipedia", ["topic"])
    (call,) = wiki.calls
    assert call.headers["user-agent"] == "amos (a@example.org)"
    assert "traceparent" in call.headers


async def test_the_example_keeps_the_contract(wiki: WikiSimulator, with_wiki: AmosProcesses):
    """`amos providers test` finds nothing to say against it, and leaves nothing untried."""
    code, printed = await with_wiki.command(
        *("providers", "test", "wikipedia", "--unreachable", "url=http://127.0.0.1:9", "--json")
    )

    report = json.loads(printed.splitlines()[-1])
    assert (code, report["failed"]) == (0, 0), printed
    assert {check["status"] for check in report["checks"]} == {"passed"}


@pytest.mark.slow
async def test_who_holds_the_loop_is_in_the_log(tmp_path: Path, rogue: Path):
    """While a plug-in holds the loop and nothing else runs, the log of the server says who, and where."""
    settings = {
        "PYTHONPATH": f"{ROOT}:{rogue}",
        "AMOS_PROVIDERS": "rogue",
        "AMOS_PROVIDER_OPTIONS": json.dumps({"rogue": {"does": "get stuck"}}),
    }
    async with (
        AmosProcesses(tmp_path / "var", settings) as amos,
        httpx.AsyncClient(base_url=amos.base_url, trust_env=False, timeout=20) as client,
    ):
        await client.post("/search", json={"query": "tide tables"})

        assert "the provider rogue has held the event loop for" in amos.log
        assert "in sleep_on" in amos.log
