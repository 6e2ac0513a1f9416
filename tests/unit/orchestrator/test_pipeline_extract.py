"""The stages together: the pages of an extract, deadlines, timing and closing."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
import pytest

from orchestrator.cache_policy import CachePolicy
from orchestrator.errors import (
    AllProvidersFailed,
    DeadlineExceeded,
)
from orchestrator.events import (
    FREE,
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CacheHit,
    CacheMissed,
    RequestCompleted,
    RequestFailed,
    ResultCached,
)
from orchestrator.filters.rate_limit import RateLimitPolicy
from orchestrator.filters.retry import RetryPolicy
from orchestrator.model import (
    ExtractAnswer,
    ExtractRequest,
    Page,
    PageFailure,
    SearchRequest,
)
from orchestrator.parts import Policies
from orchestrator.ports import ProviderTiming
from orchestrator.providers.local import TIMING
from tests.support.core import POLICIES, Core, both, down, tried
from tests.support.scripted_provider import CREDIT, ScriptedProvider, found, results_of

A, B, C = (f"https://{name}.example/" for name in "abc")
TIDES = SearchRequest(query="tide tables")


# --- the deadline


def unstoppable(seconds, answer):
    """An answer that takes its time and cannot be called off, as a thread cannot."""

    async def line(_call):
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(end - loop.time())
        return answer

    return line


async def test_a_call_that_hangs_is_ended_at_its_deadline():
    """A caller is told "too late" at the deadline; what its flight brings later is recorded and kept."""
    core = Core(ScriptedProvider("tavily", [unstoppable(30.0, found(2))]))
    call = core.open(TIDES)
    begun = core.clock.monotonic()

    with pytest.raises(DeadlineExceeded):
        await core.gateway.search(call)

    assert core.clock.monotonic() - begun == pytest.approx(9.0)
    late = core.events(call)[-1]
    assert (late.error, late.duration_s, late.upstream_s) == (
        "deadline_exceeded",
        pytest.approx(9.0),
        pytest.approx(9.0),
    )
    await core.settle()
    assert core.kinds(call)[1:] == [["RequestFailed"], ["AttemptSucceeded", "ResultCached"]]
    assert (await core.search()).cache == "l1"


async def test_a_late_extract_is_recorded_to_its_end_too():
    """The attempts of an extract whose caller was told "too late" are settled in a further frame."""
    answer = ExtractAnswer(pages=(Page(url=A, raw_content="a"), Page(url=B, raw_content="b")))
    core = Core(ScriptedProvider("tavily", [unstoppable(30.0, answer)]))
    call = core.open(ExtractRequest(urls=(A, B), timeout_s=10.0))

    with pytest.raises(DeadlineExceeded):
        await core.gateway.extract(call)
    await core.settle()

    assert core.kinds(call)[1:] == [["RequestFailed"], ["AttemptSucceeded"]]


# --- extract


async def test_the_pages_of_an_extract_are_one_call():
    """Two pages cost one call; the record has one intent, and each page has its own cache entry."""
    tavily = ScriptedProvider("tavily", [2])
    core = Core(tavily)
    call = core.open(ExtractRequest(urls=(A, B)))

    response = await core.gateway.extract(call)

    assert tavily.urls == [(A, B)]
    assert [page["url"] for page in results_of(response.fragment)] == [A, B]
    assert (response.provider, response.cache, response.cost) == ("tavily", "miss", CREDIT)
    counts = [type(event) for event in core.events(call)]
    assert (counts.count(CacheMissed), counts.count(AttemptStarted), counts.count(ResultCached)) == (2, 1, 2)


async def test_only_unread_pages_go_to_the_next_provider():
    """What the first provider could not read is put to the second, and the results are merged in order."""
    tavily, jina = ScriptedProvider("tavily", [2]), ScriptedProvider("jina", [1])
    core = Core(tavily, jina)

    response = await core.extract(A, B, C)

    assert (tavily.urls, jina.urls) == ([(A, B, C)], [(C,)])
    assert [page["raw_content"] for page in results_of(response.fragment)] == [
        f"{A} as read by tavily",
        f"{B} as read by tavily",
        f"{C} as read by jina",
    ]
    assert (response.provider, response.is_fallback) == ("tavily+jina", True)
    assert response.cost == CREDIT + CREDIT


async def test_a_page_nobody_can_read_has_a_reason():
    """A page no provider could read is a failed result; the others are unharmed."""
    core = Core(ScriptedProvider("tavily", [1]), ScriptedProvider("jina", [0]))

    response = await core.extract(A, B)

    body = msgspec.json.decode(b"{" + response.fragment + b"}")
    assert body["failed_results"] == [{"url": B, "error": "jina could not."}]
    assert response.result_count == 1


async def test_known_pages_are_not_read_again():
    """Of an extract only the pages that are not cached are asked for, and the answer is mixed."""
    tavily = ScriptedProvider("tavily", [9])
    core = Core(tavily)
    await core.extract(A)
    call = core.open(ExtractRequest(urls=(A, B)))

    response = await core.gateway.extract(call)

    assert tavily.urls == [(A,), (B,)]
    assert response.cache == "mixed"
    completed = core.events(call)[-1]
    assert (completed.cost, completed.saved) == (CREDIT, CREDIT)
    assert any(isinstance(event, CacheHit) for event in core.events(call))


async def test_a_page_that_failed_is_asked_again():
    """Failures are not cached."""
    tavily = ScriptedProvider("tavily", [0, 1])
    core = Core(tavily)
    await core.extract(A)

    assert (await core.extract(A)).result_count == 1


async def test_two_extracts_share_the_pages_they_have_in_common():
    """A page that another call is reading is waited for, and only the rest is asked."""
    tavily = ScriptedProvider("tavily", [9], delay_s=1.0)
    core = Core(tavily)
    first = asyncio.ensure_future(core.extract(A, B))
    await asyncio.sleep(0.5)

    second = await core.extract(B, C)

    assert tavily.urls == [(A, B), (C,)]
    assert (second.cache, second.result_count) == ("mixed", 2)
    assert (await first).result_count == 2


async def test_an_extract_its_caller_left_is_finished_and_recorded():
    """The pages are read and cached without the caller, and no frame is empty."""
    tavily = ScriptedProvider("tavily", [9], delay_s=1.0)
    core = Core(tavily)
    call = core.open(ExtractRequest(urls=(A, B, C)))
    task = asyncio.ensure_future(core.gateway.extract(call))
    await asyncio.sleep(0.5)

    task.cancel()
    await core.settle()

    assert (await core.extract(A, B, C)).cache == "l1"
    events = core.events(call)
    assert sum(isinstance(event, AttemptSucceeded) for event in events) == 1
    assert sum(isinstance(event, ResultCached) for event in events) == 3
    assert all(core.kinds(call))


async def test_when_no_provider_reads_at_all_the_failure_is_told():
    """If every provider is down, the extract fails with the reasons."""
    core = Core(*both([down()], [down("jina")]))

    with pytest.raises(AllProvidersFailed) as failure:
        await core.extract(A, B)

    assert tried(failure.value) == [("tavily", "retryable", "http_500"), ("jina", "retryable", "http_500")]


async def test_an_extract_of_nothing_readable_is_an_answer():
    """Pages that fail for their own reasons are an answer without results."""
    answer = ExtractAnswer(pages=(Page(url=A, raw_content=" "),), failures=(PageFailure(url=B, error="404"),))
    core = Core(ScriptedProvider("tavily", [answer]))

    response = await core.extract(A, B)

    assert response.result_count == 0
    assert b"404" in response.fragment


# --- timing


async def test_depth_decides_how_long_a_provider_may_take():
    """An advanced search is waited for longer than a basic one."""
    policies = msgspec.structs.replace(POLICIES, timing=ProviderTiming(search_s=1.0, search_advanced_s=3.0))
    core = Core(ScriptedProvider("tavily", [3], delay_s=2.0), policies=policies)

    assert (await core.search(search_depth="advanced")).provider == "tavily"
    with pytest.raises(AllProvidersFailed):
        await core.search(search_depth="basic")


async def test_the_reserve_of_a_local_provider_is_small():
    """A local index behind the web takes hardly any time from it."""
    local = ScriptedProvider("local", [1], operations=["search"], cost=FREE, timing=TIMING)
    core = Core(ScriptedProvider("tavily", [3], delay_s=6.9), local)

    assert (await core.search(search_depth="advanced")).provider == "tavily"


async def test_closing_waits_for_what_is_under_way():
    """The pipeline is closed when every flight has landed and every batch is read."""
    tavily = ScriptedProvider("tavily", [9], delay_s=1.0)
    core = Core(tavily)
    tasks = [asyncio.ensure_future(core.search()), asyncio.ensure_future(core.extract(A))]
    await asyncio.sleep(0.5)
    for task in tasks:
        task.cancel()

    await core.pipeline.aclose()

    assert len(core.cache) == 2


def test_the_defaults_are_those_of_the_mechanisms():
    """Policies hold no numbers of their own but the deadline."""
    assert Policies() == Policies(cache=CachePolicy(), retry=RetryPolicy(), rate_limit=RateLimitPolicy())


async def test_a_failed_execution_ends_with_its_last_word():
    """Whatever happened, the last event of a finished execution is its completion or its failure."""
    core = Core(*both([down(), 3], [down("jina"), 3]))
    calls = [core.open(TIDES) for _ in range(2)]

    with pytest.raises(AllProvidersFailed):
        await core.gateway.search(calls[0])
    await core.gateway.search(calls[1])

    assert isinstance(core.events(calls[0])[-1], RequestFailed)
    assert isinstance(core.events(calls[0])[-2], AttemptFailed)
    assert isinstance(core.events(calls[1])[-1], RequestCompleted)
