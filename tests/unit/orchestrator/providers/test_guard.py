"""A plug-in that misbehaves: every call to it ends, in an answer or in one of our errors."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from orchestrator.clock import SystemClock
from orchestrator.errors import (
    CircuitOpen,
    InvalidRequest,
    ProviderError,
    ProviderHeldBack,
    ProviderProtocolError,
    ProviderUnavailable,
)
from orchestrator.events import FREE, Cost
from orchestrator.facts import ProviderBlockedLoop, ProviderCallAbandoned
from orchestrator.model import (
    ExtractAnswer,
    ExtractRequest,
    Found,
    Page,
    PageFailure,
    SearchAnswer,
    SearchRequest,
)
from orchestrator.ports import ProviderTiming
from orchestrator.providers import guard
from orchestrator.providers.guard import ABANDONED_MAX, COMPLAINT_S, Guarded
from orchestrator.providers.soundness import flaw
from tests.support.calls import make_call
from tests.support.clock import FakeClock
from tests.support.facts import Facts
from tests.support.rogue_provider import (
    Answering,
    Blocking,
    Hanging,
    Honest,
    Immortal,
    Raising,
    Swallowing,
    garbage,
    unsound_errors,
)

GARBAGE = garbage()
UNSOUND = unsound_errors() | {
    "an open circuit": CircuitOpen("no", provider="rogue", reason="x"),
    "holding back": ProviderHeldBack("no", provider="rogue", reason="busy"),
    "the caller's fault": InvalidRequest("no"),
}


@pytest.fixture
def facts():
    """What is recorded."""
    return Facts("provider:rogue")


def guarded(provider, facts=None, clock=None):
    """The provider behind its guard."""
    return Guarded(provider, clock or SystemClock(), facts)


def asked(**fields):
    """A search for anything."""
    return make_call(SearchRequest(query="tide tables", **fields))


async def turns():
    """Let everybody run who can, some times: on a busy machine that is more certain than any time."""
    for _ in range(20):
        await asyncio.sleep(0)


async def cut_off(provider):
    """A search that is cancelled when it is well under way, and has ended."""
    asking = asyncio.ensure_future(provider.search(asked()))
    await turns()
    asking.cancel()
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await asking
    await turns()


async def test_an_honest_provider_is_left_alone(facts):
    """Its answer is the same behind the guard, and nothing is said about it."""
    honest = Honest()
    provider = guarded(honest, facts)
    call = asked()

    assert await provider.search(call) == honest.answer(call.request)
    assert provider.complaint is None
    assert facts.events == []


@pytest.mark.parametrize("error", UNSOUND.values(), ids=UNSOUND)
async def test_whatever_it_raises_is_a_fault_of_the_plugin(error, caplog):
    """A foreign exception, or one of ours that says what it must not, becomes `plugin_error`."""
    with pytest.raises(ProviderProtocolError) as failure:
        await guarded(Raising(error)).search(asked())

    assert (failure.value.provider, failure.value.reason) == ("rogue", "plugin_error")
    assert failure.value.assumed is None  # it may have cost what was estimated
    assert type(error).__name__ in caplog.text


async def test_an_error_of_ours_passes():
    """A provider that says properly what is wrong is heard."""
    error = ProviderUnavailable("no", provider="rogue", reason="connect", retry_after_s=3, assumed=FREE)

    with pytest.raises(ProviderUnavailable) as failure:
        await guarded(Raising(error)).search(asked())

    assert failure.value is error


@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE)
async def test_an_answer_that_is_none_is_refused(answer):
    """Nothing that breaks the types of an answer gets past the guard."""
    with pytest.raises(ProviderProtocolError) as failure:
        await guarded(Answering(answer)).search(asked())

    assert failure.value.reason in ("bad_shape", "too_large")


class Reading(Honest):
    """Reads pages too, and answers an extract with what it is told to."""

    def __init__(self, answer):
        super().__init__()
        self.operations = frozenset({"search", "extract"})
        self.given = answer

    async def extract(self, call):
        """Give it."""
        return self.given


PAGE = Page(url="https://a.example/", raw_content="Text.")


async def test_an_extract_is_checked_too():
    """Pages pass as they are, and what is none does not."""
    call = make_call(ExtractRequest(urls=("https://a.example/",)))
    good = Found(answer=ExtractAnswer(pages=(PAGE,)), provider="rogue")

    assert await guarded(Reading(good)).extract(call) == good


@pytest.mark.parametrize(
    "answer",
    [
        None,
        Found(answer=SearchAnswer(results=(), answer=None, images=()), provider="rogue"),
        Found(answer=ExtractAnswer(pages=("https://a.example/",)), provider="rogue"),
        Found(answer=ExtractAnswer(pages=(PAGE,) * 1_001), provider="rogue"),
        Found(answer=ExtractAnswer(pages=(Page(url="x", raw_content=7),)), provider="rogue"),
        Found(answer=ExtractAnswer(pages=(), failures=(PageFailure(url="x", error=None),)), provider="rogue"),
        Found(answer=ExtractAnswer(pages=(Page(url="x", raw_content="x" * 10**8),)), provider="rogue"),
    ],
    ids=["nothing", "a search", "texts", "too many", "a number", "no reason", "a library"],
)
async def test_an_extract_that_is_none_is_refused(answer):
    """Nothing that breaks the types of an answer gets past the guard."""
    with pytest.raises(ProviderProtocolError) as failure:
        await guarded(Reading(answer)).extract(make_call(ExtractRequest(urls=("https://a.example/",))))

    assert failure.value.reason in ("bad_shape", "too_large")


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("name", "other"),
        ("operations", {"search"}),
        ("operations", frozenset()),
        ("operations", frozenset({"browse"})),
        ("schemes", frozenset({"javascript"})),
        ("schemes", "https"),
        ("timing", 5),
        ("timing", ProviderTiming(search_s=float("nan"))),
        ("aclose", None),
    ],
)
def test_what_cannot_be_a_provider_is_seen_before_it_is_called(attribute, value):
    """Each part of the contract that is data is looked at when the provider is made."""
    honest, odd = Honest(), Honest()
    setattr(odd, attribute, value)

    assert flaw(honest, "rogue") == ""
    assert attribute.rstrip("s") in flaw(odd, "rogue")


async def test_it_cannot_claim_what_the_stages_say():
    """Attempts, fallback and degradation are not the provider's to tell."""
    boast = Honest().answer(SearchRequest(query="x"))
    boast = type(boast)(answer=boast.answer, provider="rogue", is_fallback=True, is_degraded=True)

    found = await guarded(Answering(boast)).search(asked())

    assert (found.is_fallback, found.is_degraded, found.attempts) == (False, False, ())


async def test_one_that_cancels_itself_has_failed():
    """A cancellation that nobody asked for is a bug of the plug-in, not the end of the caller's task."""
    with pytest.raises(ProviderProtocolError, match="cancelled itself"):
        await guarded(Raising(asyncio.CancelledError())).search(asked())


async def test_one_that_hangs_is_cancelled():
    """The cancellation reaches it at once, and no task is left."""
    before = asyncio.all_tasks()
    provider = guarded(Hanging())

    await cut_off(provider)

    assert provider.complaint is None
    assert asyncio.all_tasks() == before


async def test_one_that_swallows_its_cancellation_is_closed(facts, caplog):
    """The call ends all the same, no task is left, and somebody hears of it."""
    before = asyncio.all_tasks()
    provider = guarded(Swallowing(), facts)

    await cut_off(provider)

    assert asyncio.all_tasks() == before
    assert facts.events == [ProviderCallAbandoned(provider="rogue", under_way=1)]
    assert "swallows" in caplog.text
    assert "did not end" in provider.complaint.detail


async def test_who_is_in_a_hurry_need_not_wait_for_it():
    """A caller that is cancelled twice ends at once, and the call is given up all the same."""
    before = asyncio.all_tasks()
    asking = asyncio.ensure_future(guarded(Swallowing()).search(asked()))
    await turns()

    for _ in range(2):
        asking.cancel()
        await turns()
    assert asking.cancelled()
    assert asyncio.all_tasks() == before


async def test_its_own_timeouts_and_groups_work():
    """A plug-in may use all of asyncio: the guard is not in the way of what it cancels itself."""

    class Modern(Honest):
        async def search(self, call):
            """Give up on one, and wait for two others."""
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.Event().wait()
            except TimeoutError:
                async with asyncio.TaskGroup() as group:
                    group.create_task(asyncio.sleep(0))
                    last = group.create_task(super().search(call))
            return last.result()

    found = await guarded(Modern()).search(asked())

    assert found.answer.count == 2


async def test_what_cannot_even_be_closed_is_bounded():
    """Of calls that nothing can end a few are left behind; then the plug-in is not called."""
    rogue = Immortal()
    provider = guarded(rogue)
    try:
        await asyncio.gather(*(cut_off(provider) for _ in range(ABANDONED_MAX)))

        assert provider.abandoned == ABANDONED_MAX
        with pytest.raises(ProviderError) as failure:
            await provider.search(asked())
        assert (failure.value.reason, failure.value.assumed) == ("would_not_end", FREE)
        assert rogue.calls == ABANDONED_MAX
    finally:
        rogue.release.set()  # whatever is left of them would keep the test from ending

    await turns()
    assert provider.abandoned == 0


async def test_one_that_holds_the_loop_is_found_out(facts, caplog):
    """The answer stands; that everybody else had to wait is recorded, logged and shown by health."""
    provider = guarded(Blocking(), facts)

    await provider.search(asked())
    await provider.search(asked())

    (fact,) = facts.events  # once a minute is enough
    assert isinstance(fact, ProviderBlockedLoop)
    assert fact.duration_s >= 0.3
    assert caplog.text.count("held the event loop") == 1
    assert "held the event loop" in provider.complaint.detail


async def test_a_complaint_is_forgotten(facts):
    """Health speaks of the last minutes."""
    clock = FakeClock()
    provider = guarded(Blocking(), facts, clock)
    await provider.search(asked())

    clock.advance(COMPLAINT_S + 1)

    assert provider.complaint is None


@pytest.mark.parametrize(
    "estimate",
    [
        None,
        3,
        Cost(amount=-1.0),
        Cost(amount=float("nan")),
        Cost(usd_micros=True),
        Cost(usd_micros=10**15),
        Cost(unit="x" * 200),
        ZeroDivisionError(),
        asyncio.CancelledError(),
    ],
)
async def test_what_cannot_be_priced_is_not_called(estimate):
    """An estimate that is none spends no money: the provider is not asked."""

    class Odd(Honest):
        def search_estimate(self, request):
            if isinstance(estimate, BaseException):
                raise estimate
            return estimate

    rogue = Odd()
    provider = guarded(rogue)

    assert provider.search_estimate(asked().request) == FREE
    with pytest.raises(ProviderProtocolError) as failure:
        await provider.search(asked())
    assert (failure.value.reason, failure.value.assumed) == ("bad_estimate", FREE)
    assert rogue.calls == 0


async def test_it_hears_nothing_that_is_not_its_business():
    """A plug-in is not shown who asked with which key, and cannot change what others will be asked."""
    heard = []

    class Curious(Honest):
        async def search(self, call):
            heard.append(call)
            call.request.extra["deep"].append("mine")
            return await super().search(call)

    call = make_call(
        SearchRequest(query="x", extra={"deep": []}), credential="amos_live_x", address="192.0.2.1"
    )
    await guarded(Curious()).search(call)

    assert (heard[0].caller.credential, heard[0].caller.address) == (None, "")
    assert call.request.extra == {"deep": []}


@pytest.mark.parametrize("rogue", [Raising, Hanging, Swallowing])
async def test_closing_ends_too(rogue, monkeypatch, caplog):
    """However a plug-in closes, it is over after some time, and closing again is harmless."""
    monkeypatch.setattr(guard, "CLOSING_S", 0.05)
    ill = rogue(RuntimeError("no")) if rogue is Raising else rogue()
    ill.aclose = lambda: ill.search(asked())
    provider = guarded(ill)

    async with asyncio.timeout(1):
        await provider.aclose()
        await provider.aclose()

    assert "could not be closed" in caplog.text
    gc.collect()


async def test_one_that_never_lets_go_is_written_down(monkeypatch, caplog):
    """A thread says who holds the loop, and where, while nothing on the loop can."""
    provider = guarded(Blocking())
    provider._watch._stuck_s = 0.1

    with caplog.at_level(logging.ERROR):
        await provider.search(asked())
    await provider.aclose()

    (line,) = [r.getMessage() for r in caplog.records if "nobody else runs" in r.getMessage()]
    assert "the provider rogue" in line
    assert "_block" in line
