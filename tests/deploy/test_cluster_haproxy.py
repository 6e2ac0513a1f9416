"""The same three instances behind HAProxy: what depends on the proxy holds there too."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.support.deployment import Deployment
from tests.support.load import CLIENTS

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(180),
]


async def test_haproxy_spreads_one_flight(haproxy_deployment: Deployment) -> None:
    """A hundred callers at once who ask the same are spread over the instances and cost one call."""
    cluster = haproxy_deployment.cluster
    cluster.tavily.obey({"delay_s": 1.0})

    async def fly(number: int) -> tuple[set[int], int]:
        query = f"flight {number}"
        answers = await haproxy_deployment.ask_at_once(query, 100)
        calls = [call for call in cluster.tavily.calls() if query in str(call["json"])]
        return {answer.status_code for answer in answers}, len(calls)

    statuses, calls = await haproxy_deployment.undisturbed(fly)

    cluster.tavily.obey({"delay_s": 0.01})
    assert statuses == {200}
    assert calls == 1
    assert all(f'"gateway-{number}"' in cluster.proxy.log for number in (1, 2, 3))


async def test_haproxy_loses_no_request_of_a_stopping_instance(haproxy_deployment: Deployment) -> None:
    """SIGTERM of one instance under load, and its return: every call is answered."""
    cluster = haproxy_deployment.cluster

    async with haproxy_deployment.load() as load:
        await load.answer_more(100)
        status = await cluster.instances[0].stop()
        await load.answer_more(100)
        await cluster.instances[0].start()
        await load.answer_more(100)
    haproxy_deployment.remember(load)

    assert status == 0
    assert (load.broken, load.refused) == (0, {})


async def test_haproxy_asks_no_instance_that_hangs(haproxy_deployment: Deployment) -> None:
    """An instance that is stopped in its tracks is found out within seconds; then nobody waits for it."""
    cluster = haproxy_deployment.cluster
    instance = cluster.instances[1]
    instance.signal("worker", signal.SIGSTOP)
    await asyncio.sleep(5.0)

    async with haproxy_deployment.load() as load:
        await load.answer_more(100)
    instance.signal("worker", signal.SIGCONT)
    haproxy_deployment.remember(load)

    assert (load.broken, load.refused) == (0, {})


@pytest.mark.slow  # the suite kills one behind nginx
async def test_haproxy_a_killed_instance_loses_what_it_was_doing(haproxy_deployment: Deployment) -> None:
    """SIGKILL of a whole instance under load: at most the calls in flight on it fail."""
    cluster = haproxy_deployment.cluster

    async with haproxy_deployment.load() as load:
        await load.answer_more(100)
        await cluster.instances[2].kill_all()
        await load.answer_more(100)
        await cluster.instances[2].start()
    haproxy_deployment.remember(load)

    assert load.broken + load.refused.total() <= CLIENTS


async def test_haproxy_every_answer_is_recorded_once(haproxy_deployment: Deployment) -> None:
    """PostgreSQL has every execution that anybody had an answer of, exactly once."""
    assert len(haproxy_deployment.answered) > 300

    assert await haproxy_deployment.unrecorded() == set()
