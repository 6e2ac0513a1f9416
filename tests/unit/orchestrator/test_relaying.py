"""What is passed on goes through the pipeline once, in the time it is given, and comes back harmless."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from typing_extensions import override

from orchestrator.errors import (
    AllProvidersFailed,
    DeadlineExceeded,
    InvalidRequest,
    NotOffered,
    ProviderProtocolError,
    ProviderQuotaExceeded,
    QuotaExhausted,
)
from orchestrator.events import FREE, AttemptFailed, AttemptSucceeded, Cost, RequestCompleted
from orchestrator.model import Found
from orchestrator.relaying import RelayAddressFilter, response_of
from orchestrator.relays import OPERATIONS, RelayAnswer, RelayRequest
from tests.support.calls import make_call, recorded
from tests.support.core import Core, down
from tests.support.scripted_provider import ScriptedProvider

SITE = "https://almanac.example"

TWO_CREDITS = Cost(amount=2.0, unit="credits", usd_micros=16_000)


class Relaying(ScriptedProvider):
    """Takes everything, and after `took_s` answers with two pages or raises `failure`."""

    relays = frozenset(OPERATIONS)

    def __init__(self, took_s: float = 1.0, failure: Exception | None = None, name: str = "tavily") -> None:
        super().__init__(name)
        self.took_s = took_s
        self.failure = failure
        self.relayed = 0

    def relay_estimate(self, request: RelayRequest) -> Cost:
        """Two credits."""
        return TWO_CREDITS

    async def relay(self, call) -> Found[RelayAnswer]:
        """What it was made for."""
        self.relayed += 1
        await asyncio.sleep(self.took_s)
        if self.failure is not None:
            raise self.failure
        answer = RelayAnswer(content={"results": [f"{SITE}/1", f"{SITE}/2"]}, count=2)
        return Found(answer=answer, provider=self.name, cost=TWO_CREDITS)

    @override
    def __repr__(self) -> str:
        return self.name


def asked(operation: str = "map", **body) -> RelayRequest:
    """A request for the almanac."""
    return RelayRequest(operation=operation, body={"url": SITE, **body})


async def outcome(core: Core, request: RelayRequest):
    """The answer or the error, and the events."""
    call = core.open(request)
    try:
        result = await core.gateway.relay(call)
    except Exception as error:  # noqa: BLE001 - the tests look at it
        result = error
    return result, [envelope.event for envelope in call.trail.events]


async def test_one_call_is_recorded_with_its_price():
    """Intent, outcome and last word; nothing of a cache."""
    core = Core(ScriptedProvider("jina"), Relaying())

    response, events = await outcome(core, asked())

    assert (response.provider, response.cache, response.result_count) == ("tavily", "relayed", 2)
    assert [type(event).__name__ for event in events] == [
        *("RequestReceived", "CallerAuthenticated", "AttemptStarted", "AttemptSucceeded", "RequestCompleted"),
    ]
    assert (events[0].operation, events[0].url_count) == ("map", 1)
    succeeded, completed = events[3], events[4]
    assert isinstance(succeeded, AttemptSucceeded)
    assert isinstance(completed, RequestCompleted)
    assert (succeeded.operation, succeeded.cost, succeeded.assumed) == ("map", TWO_CREDITS, FREE)
    assert (completed.cost, completed.key, completed.fallback) == (TWO_CREDITS, "", False)


@pytest.mark.parametrize(
    ("request_", "took_s", "is_in_time"),
    [
        (asked("crawl"), 148.0, True),
        (asked("crawl"), 149.5, False),
        (asked("crawl", timeout=600), 148.0, True),
        (asked("map", timeout=20), 18.5, True),
        (asked("map", timeout=20), 19.5, False),
        (asked("feedback", request_id="r"), 9.5, False),
        (RelayRequest(operation="research", body={"input": "tides", "timeout": 600}), 31.0, False),
    ],
)
async def test_it_has_the_time_that_its_caller_waits(request_, took_s, is_in_time):
    """Less the way back, and no more than there is for its kind; late is 504, not a cut connection."""
    response, events = await outcome(Core(Relaying(took_s)), request_)

    assert isinstance(response, DeadlineExceeded) is not is_in_time
    if not is_in_time:
        (ended,) = [event for event in events if isinstance(event, AttemptFailed)]
        assert ended.assumed == TWO_CREDITS


async def test_nothing_is_tried_twice():
    """Neither here nor elsewhere: another crawl would cost as much again."""
    failing, other = Relaying(failure=down()), Relaying(name="other")

    error, _ = await outcome(Core(failing, other), asked())

    assert isinstance(error, AllProvidersFailed)
    assert (failing.relayed, other.relayed) == (1, 0)


async def test_a_quota_that_is_used_up_is_said():
    """As with a search, so that it is told from a fault."""
    spent = ProviderQuotaExceeded("No.", provider="tavily", reason="quota", assumed=FREE)

    error, _ = await outcome(Core(Relaying(failure=spent)), asked())

    assert isinstance(error, QuotaExhausted)


async def test_a_refused_request_is_free():
    """Tavily bills nothing for what it does not understand, and is none the worse for it."""
    provider = Relaying(failure=InvalidRequest("Tavily refuses this."))
    core = Core(provider)

    for _ in range(10):
        error, events = await outcome(core, asked())

    assert isinstance(error, InvalidRequest)
    (ended,) = [event for event in events if isinstance(event, AttemptFailed)]
    assert (ended.outcome, ended.cost, ended.assumed) == ("invalid", FREE, FREE)
    assert core.pipeline.circuits["tavily"].state == "closed"


def too_large() -> ProviderProtocolError:
    """What an answer without an end becomes."""
    return ProviderProtocolError("Too large.", provider="tavily", reason="too_large")


@pytest.mark.parametrize(
    ("request_", "failure", "state"),
    [
        (asked("crawl"), None, "closed"),
        (asked("crawl"), too_large(), "closed"),
        (asked("map"), too_large(), "closed"),
        (asked("crawl"), down(), "open"),
        (RelayRequest(operation="research", body={"input": "tides"}), None, "open"),
        (RelayRequest(operation="research", body={"input": "tides"}), too_large(), "open"),
    ],
)
async def test_who_asks_for_too_much_keeps_nobody_from_searching(request_, failure, state):
    """A crawl is as long and as large as its caller wants; the circuit is that of everybody's searches."""
    core = Core(Relaying(200.0 if failure is None else 1.0, failure))

    for _ in range(10):
        await outcome(core, request_)

    assert core.pipeline.circuits["tavily"].state == state


async def test_nobody_takes_it():
    """Providers that search are not asked to crawl."""
    jina = ScriptedProvider("jina")

    error, _ = await outcome(Core(jina), asked())

    assert isinstance(error, NotOffered)
    assert jina.calls == 0


async def test_who_takes_it_may_change_while_calls_go_on():
    """As the chain does."""
    core = Core(ScriptedProvider("jina"))
    core.pipeline.use((Relaying(),))

    response, _ = await outcome(core, asked())

    assert response.provider == "tavily"


class Names:
    """Knows one address of every name."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def addresses(self, host: str) -> tuple[str, ...]:
        """The addresses it was given."""
        return self._addresses


@pytest.mark.parametrize(
    ("addresses", "is_passed_on"),
    [
        ((), True),
        (("93.184.215.14",), True),
        (("93.184.215.14", "10.0.0.7"), False),
        (("::1",), False),
        (("fe80::1%eth0",), False),
    ],
)
async def test_a_name_that_leads_into_a_private_network_is_not_passed_on(addresses, is_passed_on):
    """One private address is enough; what nobody can resolve is Tavily's to judge."""
    reached = []

    async def service(call):
        reached.append(call)

    call = make_call(asked("crawl", url="almanac.example/docs"))
    if is_passed_on:
        await RelayAddressFilter(Names(*addresses))(call, service)
    else:
        with pytest.raises(InvalidRequest, match="not on the public internet"):
            await RelayAddressFilter(Names(*addresses))(call, service)

    assert bool(reached) is is_passed_on
    assert recorded(call) == []


async def test_what_strangers_wrote_is_made_harmless():
    """Pages lose what acts, every other text what hides, and what nests without end its depths."""
    deep: dict[str, object] = {}
    for _ in range(40):
        deep = {"a": deep}
    page = {"url": SITE, "raw_content": "<b>Up</b><script>x()</script>"}
    content = {
        "results": [page],
        "content": {"re\u202eport": "ti\u200bdes"},
        "deep": deep,
        "n": 1,
        "none": None,
    }

    answer = RelayAnswer(content=content, is_pending=True)
    response = await response_of(Found(answer=answer, provider="tavily"))

    shown = msgspec.json.decode(b"{" + response.fragment + b"}")
    assert shown["results"] == [{"url": SITE, "raw_content": "<b>Up</b>"}]
    assert shown["content"] == {"report": "tides"}
    assert (shown["n"], shown["none"]) == (1, None)
    assert str(shown["deep"]).count("a") < 30
    assert response.is_pending
