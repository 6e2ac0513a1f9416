"""What is no result is dropped and counted by its reason; what is left is what the caller gets."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import ResultInvalid
from orchestrator.events import ResultRejected
from orchestrator.filters.validate_result import DROPPED, ERROR_PAGE, ResultPolicy
from orchestrator.links import canonical_link
from orchestrator.model import ExtractAnswer, ExtractRequest, Page, PageFailure
from tests.support.calls import recorded
from tests.support.scripted_provider import result
from tests.support.validation import answer_of, judged, search

A, B = "https://a.example/", "https://b.example/"


async def test_a_page_is_told_once():
    """Of URLs that lead to the same page the first stays, as it was written."""
    first = "https://www.a.example/tides/?utm_source=x"
    same = ("http://a.example/tides", "https://A.example/tides#may", "https://a.example/tides/?gclid=1")

    kept, call = await judged(search(), answer_of(*(result(url) for url in (first, *same)), result(B)))

    assert [one.url for one in kept.results] == [first, B]
    assert recorded(call) == [ResultRejected(provider="tavily", reason="duplicate", dropped=3)]


async def test_a_result_without_title_and_text_is_dropped():
    """A bare URL answers nothing; a title, a snippet or the page alone does."""
    kept, call = await judged(
        search(),
        answer_of(
            result(f"{A}1", title=" \u200b", content="<b></b>"),
            result(f"{A}2", title="", content="Text."),
            result(f"{A}3", title="Title", content=""),
            result(f"{A}4", title="", content="", raw_content="Page."),
        ),
    )

    assert [one.url for one in kept.results] == [f"{A}2", f"{A}3", f"{A}4"]
    assert recorded(call) == [ResultRejected(provider="tavily", reason="empty", dropped=1)]


async def test_a_page_without_a_snippet_is_judged_by_its_text():
    """A story named "Not Found" of which only the page came is a result; an error page so is none."""
    kept, call = await judged(
        search(include_raw_content=True),
        answer_of(
            result(f"{A}1", title="Not Found", content="", raw_content="A story of two lost sailors. " * 80),
            result(f"{A}2", title="404 Not Found", content="", raw_content="404 Not Found\n\nnginx"),
        ),
    )

    assert [one.url for one in kept.results] == [f"{A}1"]
    assert recorded(call) == [ResultRejected(provider="tavily", reason="error_page", dropped=1)]


CHALLENGE = {"title": "Just a moment...", "content": "Enable JavaScript and cookies to continue"}


async def test_a_page_of_an_error_is_no_result():
    """What a site shows to fetchers it does not want is dropped, and the same page may come in earnest."""
    kept, call = await judged(search(), answer_of(result(A, **CHALLENGE), result(A), result(B)))

    assert [(one.url, one.title) for one in kept.results] == [(A, "A page"), (B, "A page")]
    assert recorded(call) == [ResultRejected(provider="tavily", reason="error_page", dropped=1)]


async def test_an_answer_of_error_pages_is_a_failure():
    """If nothing of use is left the provider failed, by what most of its results were."""
    useless = answer_of(
        result(A, **CHALLENGE), result(B, **CHALLENGE), result(f"{B}x", title="", content=""), result("")
    )

    with pytest.raises(ResultInvalid) as failure:
        await judged(search(), useless)

    assert failure.value.reason == "error_page"


async def test_every_reason_is_recorded_by_itself():
    """What was dropped is counted by reason; the caller has what is left, within the number asked for."""
    results = (
        result("javascript:1"),
        result(f"{A}0"),
        result(f"{A}0#top"),
        result(f"{A}1", title="", content=""),
        result(f"{A}2", **CHALLENGE),
        result(B),
        *(result(f"{A}{n}") for n in range(3, 9)),
    )

    kept, call = await judged(search(exclude_domains=("b.example",), max_results=3), answer_of(*results))

    assert [one.url for one in kept.results] == [f"{A}0", f"{A}3", f"{A}4"]
    assert [event.reason for event in recorded(call)] == list(DROPPED)
    assert {event.dropped for event in recorded(call)} == {1}


async def test_images_are_told_once():
    """An image under two spellings of its URL is one image."""
    answer = msgspec.structs.replace(
        answer_of(result(A)),
        images=(f"{A}i.png", {"url": "http://a.example/i.png#x", "description": "A harbour."}, f"{B}i.png"),
    )

    kept, _ = await judged(search(), answer)

    assert kept.images == (f"{A}i.png", f"{B}i.png")


@given(
    st.lists(
        st.builds(
            result,
            st.sampled_from([A, A + "#x", B, B + "?utm_x=1", "http://www.b.example", "", "ftp://a.example/"]),
            title=st.sampled_from(["", "Title", "404 Not Found"]),
            content=st.sampled_from(["", "Text", "nginx"]),
        ),
        max_size=12,
    ),
    st.integers(0, 20),
)
def test_nothing_is_lost_unsaid(results, limit):
    """Results kept, results dropped and results beyond the number asked for are all there were."""
    request = search(max_results=limit)
    try:
        kept, call = asyncio.run(judged(request, answer_of(*results)))
    except ResultInvalid:
        return

    dropped = sum(event.dropped for event in recorded(call))
    urls = [canonical_link(one.url) for one in kept.results]
    assert len(urls) == len(set(urls)) == min(limit, len(results) - dropped)


@pytest.mark.parametrize("title", [None, "", "Just a moment..."])
async def test_a_page_of_an_error_is_a_failure(title):
    """The text of a challenge is no page, so that another provider may read it; it is recorded."""
    text = "# Just a moment...\n\nEnable JavaScript and cookies to continue"
    answer = ExtractAnswer(
        pages=(Page(url=A, raw_content=text, title=title), Page(url=B, raw_content="Read."))
    )

    kept, call = await judged(ExtractRequest(urls=(A, B)), answer)

    assert [page.url for page in kept.pages] == [B]
    assert kept.failures == (PageFailure(url=A, error=ERROR_PAGE),)
    assert recorded(call) == [ResultRejected(provider="tavily", reason="error_page", dropped=1)]


@pytest.mark.parametrize(("limit", "minimum", "wanted"), [(5, 1, 1), (5, 3, 3), (2, 3, 2), (0, 3, 0)])
def test_enough_is_never_more_than_asked_for(limit, minimum, wanted):
    """The policy's minimum, or what the caller asked for if that is less."""
    assert ResultPolicy(results_min=minimum).wanted(search(max_results=limit)) == wanted
