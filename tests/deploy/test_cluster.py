"""Three instances behind nginx are one AMOS, and stay one whatever of it ends; proven by what providers saw.

The tests share one deployment and run in this order; the last one holds all their answers against PostgreSQL.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter

import pytest

from tests.support.cluster import SETTLED_S, leader
from tests.support.deployment import Deployment
from tests.support.load import CLIENTS
from tests.support.processes import UpstreamProcess, until

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(180),
]


def calls_for(provider: UpstreamProcess, query: str) -> list[dict[str, str]]:
    """The headers of each call for this query that reached a provider."""
    return [
        call["headers"]
        for call in provider.calls()
        if query in str(call["json"]) + call["path"] + call["query"]
    ]


async def test_one_cache(deployment: Deployment) -> None:
    """What one instance has fetched, every other answers from the shared cache, in either worker."""
    cluster = deployment.cluster
    answers = [await deployment.ask("one cache", instance) for instance in cluster.instances * 4]
    caches = [answer.json()["amos"]["cache"] for answer in answers]

    assert caches[0] == "miss"
    assert "miss" not in caches[1:]
    assert len(calls_for(cluster.tavily, "one cache")) == 1


async def test_one_flight(deployment: Deployment) -> None:
    """Two hundred callers who ask the same at once, over all instances, cost one call."""
    cluster = deployment.cluster
    cluster.tavily.obey({"delay_s": 1.0})

    async def fly(number: int) -> tuple[Counter[int], int]:
        query = f"flight {number}"
        answers = await deployment.ask_at_once(query, 200)
        return Counter(answer.status_code for answer in answers), len(calls_for(cluster.tavily, query))

    statuses, calls = await deployment.undisturbed(fly)

    cluster.tavily.obey({"delay_s": 0.01})
    assert statuses == {200: 200}
    assert calls == 1


async def test_the_leader_is_killed(deployment: Deployment) -> None:
    """When the worker that leads a flight is killed, one more call at most is made; everybody is answered."""
    cluster = deployment.cluster
    cluster.tavily.obey({"delay_s": 2.0})

    async def fly(number: int) -> tuple[Counter[int], int]:
        query = f"leader {number}"
        asking = asyncio.create_task(deployment.ask_at_once(query, 200))
        await until(lambda: bool(calls_for(cluster.tavily, query)), 10.0, lambda: "no call was made")
        span_id = calls_for(cluster.tavily, query)[0]["traceparent"].split("-")[2]
        await until(lambda: leader(cluster, span_id) is not None, 2.0, lambda: "nobody recorded the intent")
        found = leader(cluster, span_id)
        assert found is not None
        instance, pid = found
        assert instance.alive()[pid] == "worker"
        os.kill(pid, signal.SIGKILL)
        answers = await asking
        return Counter(answer.status_code for answer in answers), len(calls_for(cluster.tavily, query))

    statuses, calls = await deployment.undisturbed(fly)

    cluster.tavily.obey({"delay_s": 0.01})
    assert statuses == {200: 200}
    assert calls <= 2


async def test_one_limit(deployment: Deployment) -> None:
    """A key with 100 calls a minute gets 100 in all, whichever instances it asks."""

    async def ask(number: int) -> tuple[Counter[int], float]:
        begun = time.monotonic()
        answers = await deployment.ask_at_once("one limit", 160, f"hundred-{number}")
        refused = [answer for answer in answers if answer.status_code == 429]
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        return Counter(answer.status_code for answer in answers), time.monotonic() - begun

    counts, took_s = await deployment.undisturbed(ask)

    assert counts.keys() == {200, 429}
    # Beside the hundred, what has flowed back into the bucket since.
    assert 100 <= counts[200] <= 100 + took_s * 100 / 60 + 1


async def test_a_stopping_instance_loses_no_request(deployment: Deployment) -> None:
    """SIGTERM of one instance under load, and its return: every call is answered."""
    cluster = deployment.cluster

    async with deployment.load() as load:
        await load.answer_more(100)
        status = await cluster.instances[0].stop()
        await load.answer_more(100)
        await cluster.instances[0].start()
        await load.answer_more(100)
    deployment.remember(load)

    assert status == 0
    assert (load.broken, load.refused) == (0, {})


async def test_a_killed_instance_loses_what_it_was_doing(deployment: Deployment) -> None:
    """SIGKILL of a whole instance under load: at most the calls in flight on it fail."""
    cluster = deployment.cluster

    async with deployment.load() as load:
        await load.answer_more(100)
        await cluster.instances[1].kill_all()
        await load.answer_more(100)
        lost = load.broken + load.refused.total()
        await cluster.instances[1].start()
        await load.answer_more(100)
    deployment.remember(load)

    assert lost <= CLIENTS
    assert load.broken + load.refused.total() == lost


async def test_the_primary_valkey_is_killed(deployment: Deployment) -> None:
    """A Sentinel failover: no caller sees an error, before, while and after the replica takes over."""
    cluster = deployment.cluster
    stores = cluster.stores
    old = stores.primary()

    async with deployment.load() as load:
        await load.answer_more(100)
        old.kill()
        await until(lambda: stores.primary() is not old, SETTLED_S, lambda: stores.sentinels[0].log)
        await load.answer_more(100)
        await old.start()
        await load.answer_more(100)
    deployment.remember(load)

    assert (load.broken, load.refused) == (0, {})


async def test_limits_are_one_again_after_the_failover(deployment: Deployment) -> None:
    """All instances follow the Sentinels to the new primary: limits are counted there by all together."""

    async def ask(number: int) -> tuple[int, float]:
        begun = time.monotonic()
        answers = [
            await deployment.ask(f"again {turn % 2}", instance, f"ten-{number}")
            for turn in range(10)
            for instance in deployment.cluster.instances
        ]
        return [answer.status_code for answer in answers].count(200), time.monotonic() - begun

    passed, took_s = await deployment.undisturbed(ask)

    assert 10 <= passed <= 10 + took_s * 10 / 60 + 1


async def test_postgres_is_restarted(deployment: Deployment) -> None:
    """While PostgreSQL is away for seconds no caller sees an error; the journals keep what it is owed."""
    cluster = deployment.cluster
    postgres = cluster.stores.postgres

    async with deployment.load() as load:
        await load.answer_more(100)
        await asyncio.to_thread(postgres.stop)
        await load.answer_more(100)
        await asyncio.sleep(2.0)
        await asyncio.to_thread(postgres.start)
        await load.answer_more(100)
    deployment.remember(load)

    assert (load.broken, load.refused) == (0, {})


async def test_one_set_of_circuits(deployment: Deployment) -> None:
    """A circuit that opened on one instance is open on the others: they do not find out for themselves."""
    cluster = deployment.cluster
    cluster.tavily.obey({"when": {"circuits": {"kind": "variant", "variant_name": "empty"}}})
    cluster.jina.obey({"always": {"kind": "status", "code": 500}})
    first, *others = cluster.instances
    for number in range(12):
        await deployment.ask(f"circuits {number}", first)
    tried = len(calls_for(cluster.jina, "circuits"))

    async def reason(number: int) -> str:
        answer = await deployment.ask(f"circuits seen {number}", others[number % 2])
        attempts = answer.json()["amos"]["attempts"]
        return next((attempt["reason"] for attempt in attempts if attempt["provider"] == "jina"), "not asked")

    # The state travels in the background, within a second or two.
    await asyncio.sleep(2.0)
    reasons = [await reason(number) for number in range(16)]

    assert set(reasons) == {"circuit_open"}
    assert len(calls_for(cluster.jina, "circuits")) == tried


async def test_every_answer_is_recorded_once(deployment: Deployment) -> None:
    """After all of this PostgreSQL has every execution that anybody had an answer of, exactly once."""
    cluster = deployment.cluster
    assert len(deployment.answered) > 500

    assert await deployment.unrecorded() == set()
    for instance in cluster.instances:
        assert await instance.stop() == 0
        assert list(instance.journal.glob("*.seg")) == []
    assert {stream for stream, count in cluster.completed().items() if count != 1} == set()
