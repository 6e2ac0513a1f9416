"""The contract of usage sources: a number that grows by what is used, for nothing, or one of our errors."""

from __future__ import annotations

import contextlib
import json

import pytest

from orchestrator.clock import SystemClock
from orchestrator.errors import (
    ProviderError,
    ProviderProtocolError,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
)
from orchestrator.providers.jina_usage import JinaUsage
from orchestrator.providers.tavily_usage import TavilyUsage
from orchestrator.providers.upstream import Upstream
from tests.support.faults import Fault
from tests.support.http_server import DeadPort
from tests.support.jina_simulator import JinaSimulator
from tests.support.tavily_simulator import TavilySimulator

UNITS = {"tavily": "credits", "jina": "tokens"}

KINDS = tuple(UNITS)


def simulator(name):
    """The provider's simulator."""
    return TavilySimulator() if name == "tavily" else JinaSimulator()


def source_of(name, upstream, keys=("k",)):
    """The source of a provider with these keys."""
    client = Upstream(name, SystemClock(), connections_max=1)
    if name == "tavily":
        return TavilyUsage(client, f"{upstream.base_url}/", keys)
    return JinaUsage(client, f"{upstream.base_url}/r/", keys)


@contextlib.asynccontextmanager
async def asking(name, keys=None):
    """A simulator, and the source that asks it."""
    async with simulator(name) as upstream:
        upstream.keys |= set(keys or ())
        source = source_of(name, upstream, keys or (upstream.api_key,))
        yield upstream, source
        await source.aclose()


async def search(name, upstream, key):
    """One search at the provider with this key; what it says it cost, in its unit."""
    client = Upstream(name, SystemClock())
    headers = {"Authorization": f"Bearer {key}", "X-Respond-With": "no-content"}
    if name == "tavily":
        body = {"query": "tides", "include_usage": True}
        reply = await client.post_json(f"{upstream.base_url}/search", headers=headers, body=body)
        cost = json.loads(reply.body)["usage"]["credits"]
    else:
        reply = await client.post_json(upstream.search_url, headers=headers, body={"q": "tides"})
        cost = json.loads(reply.body)["meta"]["usage"]["tokens"]
    await client.aclose()
    return cost


@pytest.mark.parametrize("name", KINDS)
async def test_it_grows_by_what_is_used(name):
    """By exactly what the provider says a call costs; asking costs nothing."""
    async with asking(name) as (upstream, source):
        before = await source.counter()
        costs = [await search(name, upstream, upstream.api_key) for _ in range(3)]
        after = await source.counter()
        again = await source.counter()

    assert after - before == sum(costs) > 0
    assert again == after
    assert (source.provider, source.unit, source.keys) == (name, UNITS[name], 1)


@pytest.mark.parametrize("name", KINDS)
async def test_keys_are_added_up(name):
    """Tavily counts by the key; at Jina keys of one account have one balance, which is counted once."""
    async with asking(name, keys=("one", "two")) as (upstream, source):
        await search(name, upstream, "one")
        await search(name, upstream, "two")
        singles = []
        for key in ("one", "two"):
            single = source_of(name, upstream, (key,))
            singles.append(await single.counter())
            await single.aclose()
        asked = len(upstream.calls)
        used = await source.counter()
        told = [call.headers["authorization"] for call in upstream.calls[asked:]]

    assert all(singles)
    assert used == (sum(singles) if name == "tavily" else singles[0])
    assert told == ["Bearer one", "Bearer two"]
    assert source.keys == 2


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.status(401), ProviderRejected),
        (Fault.status(429, retry_after=60), ProviderThrottled),
        (Fault.status(503, shape="html"), ProviderUnavailable),
        (Fault.reset(), ProviderUnavailable),
        (Fault.body("<html>"), ProviderProtocolError),
        (Fault.body("[]"), ProviderProtocolError),
        (Fault.body('{"key": {}, "data": {}}'), ProviderProtocolError),
        (Fault.body('{"key": {"usage": -1}, "data": {"balanceLeft": -1}}'), ProviderProtocolError),
        (Fault.body('{"key": {"usage": 1e99}, "data": {"balanceLeft": 1e99}}'), ProviderProtocolError),
        (Fault.body('{"key": {"usage": null}, "data": {"balanceLeft": "1"}}'), ProviderProtocolError),
    ],
)
async def test_every_failure_is_one_of_our_errors(name, fault, kind):
    """Also what is no number, or none that a count can be."""
    async with asking(name) as (upstream, source):
        upstream.always(fault)

        with pytest.raises(ProviderError) as failure:
            await source.counter()

    assert type(failure.value) is kind
    assert failure.value.provider == name


@pytest.mark.parametrize("name", KINDS)
async def test_nobody_there(name):
    """A provider that cannot be reached is one of our errors too."""
    with DeadPort() as dead:
        source = source_of(name, dead)
        with pytest.raises(ProviderUnavailable):
            await source.counter()
        await source.aclose()
