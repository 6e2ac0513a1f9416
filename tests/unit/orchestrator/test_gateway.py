"""What the outside may call."""

from __future__ import annotations

import math

import pytest

from orchestrator.errors import ProviderThrottled, ProviderUnavailable, Unauthenticated
from orchestrator.facts import CallersRefused
from orchestrator.filters.authenticate import LOCAL_OPERATOR
from orchestrator.health import ComponentHealth
from orchestrator.model import Caller, SearchRequest
from orchestrator.recorder import CALLERS_STREAM
from tests.support.core import Core
from tests.support.scripted_provider import ScriptedProvider

OPERATOR = Caller(door="test", is_local_operator=True)


def component(name, status, detail=""):
    """A probe that finds this."""
    return lambda: ComponentHealth(name=name, status=status, since=1.0, detail=detail)


async def test_opening_a_call_records_nothing():
    """A call has its id and trail from the start, and no facts before it is made."""
    core = Core(ScriptedProvider())

    call = core.gateway.open(
        SearchRequest(query="tides"), Caller(door="test", is_local_operator=True, trace_id="ab" * 16)
    )

    assert call.trail.trace_id == "ab" * 16
    assert (call.trail.events, call.deadline) == ([], math.inf)


async def test_the_trail_tells_what_happened_after_success_and_failure():
    """The door reads from the call's trail what became of it."""
    core = Core(ScriptedProvider())
    good, bad = core.open(SearchRequest(query="tides")), core.open(SearchRequest(query=""))

    await core.gateway.search(good)
    with pytest.raises(Exception, match="Query is missing"):
        await core.gateway.search(bad)

    assert [type(call.trail.events[-1].event).__name__ for call in (good, bad)] == [
        "RequestCompleted",
        "RequestFailed",
    ]


async def test_other_surfaces_ask_who_is_calling():
    """Reports and executions know the local operator by the same rule as searches."""
    assert await Core().gateway.principal_for(OPERATOR) is LOCAL_OPERATOR


@pytest.mark.parametrize(("refusal", "reason"), [("foreign_origin", "foreign_origin"), ("", "no_credential")])
async def test_strangers_at_other_surfaces_are_counted_too(refusal, reason):
    """A refusal anywhere is in the count of refusals."""
    core = Core()

    with pytest.raises(Unauthenticated):
        await core.gateway.principal_for(Caller(door="test", refusal=refusal))

    await core.settle()
    assert core.journal.events(CALLERS_STREAM) == [CallersRefused(reason=reason, count=1)]


async def test_what_a_surface_turns_away_is_counted():
    """A call that never became one is counted like a stranger's."""
    core = Core()

    core.gateway.refused("foreign_host")
    core.gateway.refused("foreign_host")

    await core.settle()
    assert core.journal.events(CALLERS_STREAM) == [CallersRefused(reason="foreign_host", count=2)]


async def test_health_lists_every_component():
    """Stores come first, then the providers in the order of the chain, then those without credentials."""
    core = Core(
        ScriptedProvider("jina"),
        ScriptedProvider("tavily"),
        probes=(component("journal", "ok"),),
        unconfigured={"local": "AMOS_LOCAL_PATHS is not set."},
    )

    components = await core.gateway.health()

    assert [(one.name, one.status) for one in components] == [
        ("journal", "ok"),
        ("provider:jina", "ok"),
        ("provider:tavily", "ok"),
        ("provider:local", "unconfigured"),
    ]
    assert components[-1].detail == "AMOS_LOCAL_PATHS is not set."


async def test_an_open_circuit_is_a_provider_that_is_down():
    """Health says that a provider is not called, why, and for how long yet."""
    paused = ProviderThrottled("Slow.", provider="tavily", reason="http_429", retry_after_s=40.0)
    core = Core(ScriptedProvider("tavily", [paused]), ScriptedProvider("jina"))
    await core.search()
    opened_at = core.clock.now()
    await core.clock.sleep(10.0)

    tavily, _jina = await core.gateway.health()

    assert (tavily.status, tavily.since) == ("down", pytest.approx(opened_at))
    assert tavily.detail == "Circuit open after http_429; it may be called again in 30 s."


async def test_a_half_open_circuit_is_degraded():
    """A provider on probation is neither down nor well."""
    broken = ProviderUnavailable("Down.", provider="tavily", reason="reset")
    core = Core(ScriptedProvider("tavily", [broken]))
    circuit = core.pipeline.circuits["tavily"]
    for _ in range(5):
        circuit.failed(broken, is_probe=False)
    await core.clock.sleep(30.0)
    circuit.admit()

    (tavily,) = await core.gateway.health()

    assert tavily.status == "degraded"


async def test_a_gateway_is_ready_while_no_store_is_down():
    """Degraded is ready; down is not, and says why. Providers do not count: another instance has the same."""
    core = Core(
        probes=(
            component("cache", "degraded", "It is full."),
            component("journal", "down", "The journal is full."),
        )
    )

    assert core.gateway.not_ready() == ("The journal is full.",)
    assert Core().gateway.not_ready() == ()
