"""Reading pages with the provider `jina`, against a server that behaves and misbehaves like the reader."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from orchestrator.errors import ProviderTimeout
from orchestrator.events import (
    FREE,
    Cost,
)
from orchestrator.model import ExtractRequest
from orchestrator.providers.jina import READS_AT_ONCE
from tests.support.calls import failure_of, make_call
from tests.support.faults import Fault
from tests.support.jina_errors import ERRORS
from tests.support.jina_provider import PROVIDER_ERRORS, provider_of
from tests.support.jina_simulator import PAGE_TOKENS, JinaSimulator

GOOD, BETTER = "https://almanac.example/how", "https://almanac.example/why"


@pytest.fixture
async def simulator():
    """Jina, simulated."""
    async with JinaSimulator() as running:
        yield running


@pytest.fixture
async def jina(simulator):
    """The provider with a good key."""
    provider = provider_of(simulator)
    yield provider
    await provider.aclose()


def reading(*urls, **fields):
    """A call for the pages."""
    return make_call(ExtractRequest(urls=urls, **fields))


async def test_pages_are_read_one_a_call(jina, simulator):
    """Each URL is one POST, and what they cost is added up."""
    found = await jina.extract(reading(GOOD, BETTER, GOOD))

    assert [page.url for page in found.answer.pages] == [GOOD, BETTER]
    assert found.answer.pages[0].raw_content.startswith("# ")
    assert found.answer.failures == ()
    assert found.cost.amount == 2 * PAGE_TOKENS
    assert sorted(call.json["url"] for call in simulator.calls) == sorted([GOOD, BETTER])
    assert simulator.calls[0].headers["accept"] == "application/json"


def test_an_estimate_counts_each_page_once(jina):
    """Before the call every page is expected to be long; the same page twice is one."""
    request = ExtractRequest(urls=(GOOD, BETTER, GOOD))

    assert jina.extract_estimate(request) == Cost(amount=40_000, unit="tokens", usd_micros=2_000)


async def test_text_is_text(jina, simulator):
    """Plain text is asked for by header and found in its own field."""
    found = await jina.extract(reading(GOOD, format="text"))

    assert simulator.calls[0].headers["x-return-format"] == "text"
    assert not found.answer.pages[0].raw_content.startswith("#")


async def test_images_come_if_asked_for(jina):
    """The images of a page are their URLs."""
    found = await jina.extract(reading(GOOD, include_images=True))

    assert found.answer.pages[0].images == ("https://images.example/1.png",)


@pytest.mark.parametrize("variant", ["none", "old_reader"])
@pytest.mark.parametrize("word", ["gone", "captcha", "blank", "private"])
async def test_a_page_without_text_is_a_failure(jina, simulator, word, variant):
    """A dead page, a CAPTCHA, an empty page and a refused address are failures of that page alone."""
    dead = f"https://almanac.example/{word}"
    if variant != "none":
        simulator.when(word, Fault.variant(variant))

    found = await jina.extract(reading(dead, GOOD))

    assert [page.url for page in found.answer.pages] == [GOOD]
    assert [failure.url for failure in found.answer.failures] == [dead]


PAGE_ERRORS = (40001, 40301, 40902, 40904, 41302, 42203, 42206, 45102)


@pytest.mark.parametrize("number", PAGE_ERRORS)
async def test_an_error_about_the_page_is_its_failure(jina, simulator, number):
    """What Jina says about one page is no error of the provider, even if it is the only page."""
    simulator.script(Fault.status(ERRORS[number][0], number=number, text="upstream's own words"))

    found = await jina.extract(reading(GOOD))

    assert found.answer.pages == ()
    assert "own words" not in found.answer.failures[0].error


@pytest.mark.parametrize("number", sorted(set(ERRORS) - set(PAGE_ERRORS)))
async def test_an_error_about_us_is_raised_if_nothing_was_read(jina, simulator, number):
    """The provider's own refusals and faults are errors when no page came."""
    simulator.always(Fault.status(ERRORS[number][0], number=number))

    error = await failure_of(jina.extract(reading(GOOD, BETTER)))

    assert (type(error), error.reason) == PROVIDER_ERRORS[number]


@pytest.mark.parametrize("number", sorted(set(ERRORS) - set(PAGE_ERRORS)))
async def test_an_error_about_us_spares_what_was_read(jina, simulator, number):
    """Beside a page that was read, the same refusal is a failure of the page it met."""
    simulator.when("why", Fault.status(ERRORS[number][0], number=number))

    found = await jina.extract(reading(GOOD, BETTER))

    assert [page.url for page in found.answer.pages] == [GOOD]
    assert [failure.url for failure in found.answer.failures] == [BETTER]


async def test_a_refusal_stops_the_remaining_reads(jina, simulator):
    """Once our key is refused, the pages not yet asked for are not asked for."""
    simulator.always(Fault.status(401))

    await failure_of(jina.extract(reading(*(f"{GOOD}/{number}" for number in range(20)))))

    assert simulator.count == READS_AT_ONCE


async def test_a_fault_does_not_stop_the_remaining_reads(jina, simulator):
    """A 503 may be about one page; the others are still read."""
    simulator.script(Fault.status(503))

    found = await jina.extract(reading(*(f"{GOOD}/{number}" for number in range(20))))

    assert len(found.answer.pages) == 19
    assert simulator.count == 20


async def test_a_slow_page_does_not_cost_the_others(jina, simulator):
    """Shortly before the deadline the missing pages are given up, and those that were read are answered."""
    simulator.when("why", Fault.hang())
    call = make_call(ExtractRequest(urls=(GOOD, BETTER)), patience_s=0.5)

    found = await jina.extract(call)

    assert [page.url for page in found.answer.pages] == [GOOD]
    assert [failure.url for failure in found.answer.failures] == [BETTER]


async def test_only_slow_pages_are_a_timeout(jina, simulator):
    """With nothing read in time the provider has timed out."""
    simulator.always(Fault.hang())

    error = await failure_of(jina.extract(make_call(ExtractRequest(urls=(GOOD,)), patience_s=0.3)))

    assert (type(error), error.reason) == (ProviderTimeout, "timeout")


async def test_tokens_of_unreadable_pages_are_in_the_bill_of_a_refusal(jina, simulator):
    """A page that was billed and could not be read is paid for, also if the rest is refused."""
    simulator.when("why", Fault.status(503))

    error = await failure_of(jina.extract(reading("https://almanac.example/gone", BETTER)))

    assert error.cost.amount > 0
    assert error.assumed == FREE


async def test_pages_under_way_at_the_end_may_be_billed(jina, simulator):
    """Of pages that were asked for and did not come in time the price is assumed."""
    simulator.always(Fault.hang())

    error = await failure_of(jina.extract(make_call(ExtractRequest(urls=(GOOD, BETTER)), patience_s=0.4)))

    assert (error.cost, error.assumed.amount) == (FREE, 40_000)


async def test_cancelling_ends_every_read(jina, simulator):
    """An extract that is cancelled leaves no read behind."""
    simulator.always(Fault.hang())
    begun = time.monotonic()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.15):
            await jina.extract(reading(GOOD, BETTER))

    assert time.monotonic() - begun < 1
    simulator.recover()
    assert (await jina.extract(reading(GOOD))).answer.pages


async def test_the_attempt_is_the_parent(jina, simulator):
    """Each call carries the trace and the span of its attempt, also the reads of an extract."""
    call = msgspec.structs.replace(reading(GOOD, BETTER), span_id="a" * 16)

    await jina.extract(call)

    sent = {recorded.headers["traceparent"] for recorded in simulator.calls}
    assert sent == {f"00-{call.trail.trace_id}-{'a' * 16}-01"}
