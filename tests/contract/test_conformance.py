"""The conformance kit: our own providers pass it, and each check finds the provider that breaks its rule."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.clock import SystemClock
from orchestrator.providers.conformance import checks
from orchestrator.providers.conformance.subject import Subject
from orchestrator.providers.jina import Jina
from orchestrator.providers.key_pool import KeyPool
from orchestrator.providers.local import Local
from orchestrator.providers.mcp_tool import MCP
from orchestrator.providers.registry import Kinds, Registration, Tools
from orchestrator.providers.searxng import SEARXNG
from orchestrator.providers.tavily import Tavily
from orchestrator.providers.upstream import Upstream
from tests.support.broken_providers import BACKGROUND, BROKEN
from tests.support.http_server import DeadPort
from tests.support.jina_simulator import JinaSimulator
from tests.support.mcp_remote_server import RemoteServer
from tests.support.rogue_provider import Hanging, Honest
from tests.support.searxng_simulator import SearxngSimulator
from tests.support.tavily_simulator import TavilySimulator

CLOCK = SystemClock()


@pytest.fixture(autouse=True)
async def nothing_left():
    """What broken providers leave behind ends with the test."""
    yield
    for task in BACKGROUND:
        task.cancel()
    if BACKGROUND:
        await asyncio.wait(BACKGROUND)
    BACKGROUND.clear()


def failed(verdicts):
    """Those that failed, and why."""
    return {verdict.name: verdict.detail for verdict in verdicts if verdict.status == "failed"}


def tavily_at(base_url):
    """Tavily there."""
    return Tavily(Upstream("tavily", CLOCK), base_url, KeyPool("tavily", [TavilySimulator.api_key], CLOCK))


def jina_at(base_url):
    """Jina there."""
    return Jina(
        Upstream("jina", CLOCK),
        CLOCK,
        KeyPool("jina", [JinaSimulator.api_key], CLOCK),
        search_url=f"{base_url}/s",
        reader_url=f"{base_url}/r",
        usd_per_million_tokens=0.05,
    )


@pytest.mark.parametrize(
    ("simulator", "make"), [(TavilySimulator, tavily_at), (JinaSimulator, jina_at)], ids=["tavily", "jina"]
)
async def test_our_providers_of_the_web_pass(simulator, make):
    """What plug-ins are held to, our own keep too, and no check has to be left out."""
    with DeadPort() as nobody:
        async with (
            simulator(delay_s=0.02) as upstream,
            Subject(lambda: make(upstream.base_url), unreachable=lambda: make(nobody.base_url)) as subject,
        ):
            verdicts = await checks.run(subject)

    assert failed(verdicts) == {}
    assert [verdict.name for verdict in verdicts if verdict.status == "skipped"] == []
    assert upstream.count <= checks.asks()


def kind_at(kind, **options):
    """What makes a provider of this kind."""
    registration = Registration(name="remote", kind=kind, priority=1, options=options)
    return lambda: Kinds({"mcp": MCP, "searxng": SEARXNG}, ()).make(registration, Tools(clock=CLOCK))


async def pass_all(make, unreachable):
    """Hold the provider against everything; nothing may fail or be left out."""
    async with Subject(make, name="remote", unreachable=unreachable) as subject:
        verdicts = await checks.run(subject)
    assert {verdict.name: verdict.detail for verdict in verdicts if verdict.status != "passed"} == {}


async def test_a_self_hosted_engine_passes():
    """The kind `searxng` keeps the contract."""
    with DeadPort() as nobody:
        async with SearxngSimulator(delay_s=0.02) as engine:
            await pass_all(kind_at("searxng", url=engine.base_url), kind_at("searxng", url=nobody.base_url))


async def test_a_tool_of_a_remote_server_passes():
    """So does the kind `mcp`, with the official SDK's server at the other end."""
    with DeadPort() as nobody, RemoteServer("sdk") as server:
        await pass_all(
            kind_at("mcp", url=server.url, tool="find"), kind_at("mcp", url=nobody.base_url, tool="find")
        )


async def test_our_own_documents_pass(tmp_path):
    """So does the search of folders; what has no upstream cannot miss one."""
    (tmp_path / "gateway.md").write_text("# Search gateway\n\nAbout a search gateway.\n")
    async with Subject(lambda: Local([tmp_path], tmp_path / "index.sqlite", CLOCK)) as subject:
        verdicts = await checks.run(subject)

    assert failed(verdicts) == {}
    assert {verdict.name for verdict in verdicts if verdict.status == "skipped"} <= {"outage", "deadline"}


async def test_an_honest_provider_passes():
    """The provider that the broken ones are made of breaks no rule."""
    async with Subject(Honest) as subject:
        verdicts = await checks.run(subject)

    assert failed(verdicts) == {}


def test_every_check_has_its_broken_provider():
    """A check that nobody was seen to fail may check nothing."""
    assert list(BROKEN) == [check.name for check in checks.ALL]


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_provider_fails_its_check_and_no_other(name):
    """Each check finds its rule broken, says so in a sentence, and does not blame a provider for another."""
    broken = BROKEN[name]
    is_outage = name == "outage"
    async with Subject(Honest if is_outage else broken, unreachable=broken if is_outage else None) as subject:
        verdicts = await checks.run(subject)

    assert list(failed(verdicts)) == [name]
    (verdict,) = [verdict for verdict in verdicts if verdict.name == name]
    assert verdict.detail.endswith(".")
    assert verdict.advice


async def test_one_that_hangs_ends_the_run_all_the_same():
    """A provider that never answers is found out once, and not waited for by every check."""
    async with asyncio.timeout(5), Subject(Hanging, patience_s=0.1) as subject:
        verdicts = await checks.run(subject)

    assert list(failed(verdicts)) == ["errors"]


class Forgetful(Tavily):
    """Closes nothing."""

    async def aclose(self):
        """Leave everything open."""


async def test_a_connection_that_is_left_open_is_found():
    """A provider that does not close what it opened fails, and is told how much."""
    made = []

    async with TavilySimulator() as upstream:

        def make():
            upstreams = Upstream("tavily", CLOCK)
            made.append(upstreams)
            return Forgetful(upstreams, upstream.base_url, KeyPool("tavily", [upstream.api_key], CLOCK))

        async with Subject(make) as subject:
            (verdict,) = await checks.run(subject, [one for one in checks.ALL if one.name == "closing"])
        for one in made:
            await one.aclose()

    assert verdict.status == "failed"
    assert "connections are still open" in verdict.detail


class Nameless(Honest):
    """Raises where it should have a name."""

    @property
    def name(self):
        """A bug."""
        raise ZeroDivisionError

    @name.setter
    def name(self, _value):
        """Take it."""


async def test_a_provider_that_breaks_a_check_itself_fails_it():
    """What an attribute raises is a failure of the provider, not of the kit."""
    async with Subject(Nameless) as subject:
        verdicts = await checks.run(subject)

    assert failed(verdicts)["name"] == "It raised ZeroDivisionError."
