"""A useless answer is a failure; what the caller ruled out is dropped, whoever found it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import limits
from orchestrator.errors import ResultInvalid
from orchestrator.events import (
    FREE,
    Cost,
    ResultRejected,
)
from orchestrator.filters.validate_result import (
    host_and_path,
    is_allowed,
    matches,
)
from orchestrator.model import (
    ExtractAnswer,
    ExtractRequest,
    Page,
    PageFailure,
)
from tests.support.calls import recorded
from tests.support.scripted_provider import result
from tests.support.validation import answer_of, judged, search

A, B = "https://a.example/", "https://b.example/"


async def test_a_good_answer_passes_as_it_is():
    """Usable results are passed on unchanged, and nothing is recorded."""
    answer = answer_of(result(A), result(B))

    kept, call = await judged(search(), answer)

    assert kept == answer
    assert recorded(call) == []


async def test_an_empty_answer_is_a_success():
    """An answer that was empty from the start is valid: the provider found nothing."""
    kept, call = await judged(search(), answer_of())

    assert kept.results == ()
    assert recorded(call) == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example",
        "javascript:alert(1)",
        "ftp://a.example/",
        "file:///x",
        "http://",
        "http://[::1",
        "data:x",
    ],
)
async def test_a_result_nobody_can_follow_is_dropped(url):
    """Results need an http or https URL; what was dropped is counted in the record."""
    kept, call = await judged(search(), answer_of(result(url), result(A)))

    assert [one.url for one in kept.results] == [A]
    assert recorded(call) == [ResultRejected(provider="tavily", reason="unusable", dropped=1)]


async def test_an_answer_of_nothing_usable_is_a_failure():
    """If all results are useless the provider failed, so that the next one is asked."""
    with pytest.raises(ResultInvalid):
        await judged(search(), answer_of(result("javascript:1"), result("")))


async def test_a_useless_answer_names_its_price():
    """The provider did its work and billed it: the failure says what."""
    price = Cost(amount=1.0, unit="credits", usd_micros=8_000)

    with pytest.raises(ResultInvalid) as useless:
        await judged(search(), answer_of(result("javascript:1")), cost=price)

    assert (useless.value.cost, useless.value.assumed) == (price, FREE)


async def test_files_are_for_the_local_provider_only():
    """A `file:` URL is a result of the local index, and of nobody else."""
    kept, _ = await judged(search(), answer_of(result("file:///srv/handbook/tides.md")), frozenset({"file"}))

    assert len(kept.results) == 1


async def test_a_url_is_told_once():
    """Of two results with the same URL the first, better one stays."""
    kept, call = await judged(search(), answer_of(result(A, score=0.9), result(A, score=0.1)))

    assert [one.score for one in kept.results] == [0.9]
    assert recorded(call) == [ResultRejected(provider="tavily", reason="duplicate", dropped=1)]


async def test_an_overlong_url_is_dropped():
    """A URL longer than any client takes is useless."""
    kept, _ = await judged(search(), answer_of(result(A + "x" * limits.URL_CHARS_MAX), result(B)))

    assert [one.url for one in kept.results] == [B]


async def test_texts_are_bounded_and_titles_filled():
    """A snippet and a page have a greatest length; a missing title is the host."""
    big = result(
        A,
        title="",
        content="c" * (limits.CONTENT_CHARS_MAX + 1),
        raw_content="r" * (limits.RAW_CONTENT_CHARS_MAX + 1),
    )

    kept, _ = await judged(search(), answer_of(big))

    (one,) = kept.results
    assert one.title == "a.example"
    assert (len(one.content), len(one.raw_content)) == (
        limits.CONTENT_CHARS_MAX,
        limits.RAW_CONTENT_CHARS_MAX,
    )


async def test_no_more_results_than_asked_for():
    """The caller gets at most the number asked for, the best first."""
    kept, call = await judged(search(max_results=2), answer_of(*(result(f"{A}{n}") for n in range(5))))

    assert [one.url for one in kept.results] == [f"{A}0", f"{A}1"]
    assert recorded(call) == []


async def test_domains_the_caller_did_not_ask_for_are_dropped():
    """Providers treat domain lists as wishes; here they are kept."""
    kept, call = await judged(search(include_domains=("a.example",)), answer_of(result(A), result(B)))

    assert [one.url for one in kept.results] == [A]
    assert recorded(call) == [ResultRejected(provider="tavily", reason="domain", dropped=1)]


async def test_an_answer_from_ruled_out_domains_is_empty_and_no_failure():
    """The provider answered; nothing of it was what the caller may see."""
    kept, call = await judged(search(exclude_domains=("example",)), answer_of(result(A), result(B)))

    assert kept.results == ()
    assert recorded(call) == [ResultRejected(provider="tavily", reason="domain", dropped=2)]


@pytest.mark.parametrize(
    ("mode", "count"), [(None, 1), ("filter", 1), ("restrict", 1), ("boost", 2), ("prefer", 2)]
)
async def test_a_preference_is_not_a_filter(mode, count):
    """Only if the caller asked for a boost may other domains come along."""
    request = search(include_domains=("a.example",), include_domains_mode=mode)

    kept, _ = await judged(request, answer_of(result(A), result(B)))

    assert len(kept.results) == count


@pytest.mark.parametrize(
    ("place", "domain", "is_match"),
    [
        ("example.com/", "example.com", True),
        ("docs.example.com/x", "example.com", True),
        ("example.com/", "www.example.com", True),
        ("www.example.com/", "example.com", True),
        ("notexample.com/", "example.com", False),
        ("example.com.evil.net/", "example.com", False),
        ("example.com/", "docs.example.com", False),
        ("a.b.com/", "*.com", True),
        ("a.example.com/", "*.example.com", True),
        ("example.com/", "*.example.com", True),
        ("example.org/", "*.com", False),
        ("example.com/docs", "example.com/docs", True),
        ("example.com/docs/a", "example.com/docs", True),
        ("example.com/docs/a", "example.com/docs/", True),
        ("example.com/docsets", "example.com/docs", False),
        ("example.com/", "example.com/docs", False),
    ],
)
def test_a_domain_means_its_host_all_below_and_its_path(place, domain, is_match):
    """Domains match on whole labels and whole path segments."""
    assert matches(place, domain) is is_match


labels = st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=4)


@given(labels, labels)
def test_a_host_below_a_domain_always_matches(below, domain):
    """Whatever stands before the domain and a dot is below it; glued on without a dot it is not."""
    name = ".".join(domain)

    assert matches(".".join([*below, name]) + "/x", name)
    assert matches(f"{name}/", name)
    assert not matches(f"zz{name}/", name)


@given(st.lists(st.sampled_from(["a.example", "b.example", "c.example"])), st.sampled_from("abc"))
def test_exclusion_wins(domains, letter):
    """A place on both lists is excluded."""
    request = search(include_domains=tuple(domains), exclude_domains=tuple(domains))

    assert is_allowed(f"{letter}.example/", request) is (not domains)


def test_a_place_is_compared_in_lower_case():
    """Host and path are compared without case; a port and credentials do not count."""
    assert host_and_path("HTTPS://me@A.Example:8443/Docs?q#f") == "a.example/docs"
    assert host_and_path("file:///srv/x.md") == "/srv/x.md"


# --- extract ---


async def test_every_url_has_one_page_or_one_failure():
    """The answer covers exactly what was asked, in the order asked, whatever the provider returned."""
    answer = ExtractAnswer(
        pages=(
            Page(url="https://other.example/", raw_content="not asked"),
            Page(url=B, raw_content="b"),
            Page(url=B, raw_content="b again"),
        ),
        failures=(PageFailure(url=A, error="It is a scan."),),
    )

    kept, _ = await judged(ExtractRequest(urls=(A, B, "https://c.example/")), answer)

    assert [page.url for page in kept.pages] == [B]
    assert kept.failures == (
        PageFailure(url=A, error="It is a scan."),
        PageFailure(url="https://c.example/", error="The page has no readable text."),
    )


async def test_a_page_of_blanks_is_no_page():
    """A page without text is a failure, so that another provider may read it."""
    answer = ExtractAnswer(pages=(Page(url=A, raw_content=" \n"),))

    kept, _ = await judged(ExtractRequest(urls=(A,)), answer)

    assert kept.pages == ()
    assert [failure.url for failure in kept.failures] == [A]


async def test_a_page_is_bounded():
    """A page is cut at the greatest length."""
    answer = ExtractAnswer(pages=(Page(url=A, raw_content="x" * (limits.RAW_CONTENT_CHARS_MAX + 1)),))

    kept, _ = await judged(ExtractRequest(urls=(A,)), answer)

    assert len(kept.pages[0].raw_content) == limits.RAW_CONTENT_CHARS_MAX


EVIL = "<script>alert(1)</script>"


async def test_what_strangers_wrote_is_made_harmless():
    """Markup, hidden characters and links of other schemes do not get past this stage, wherever they hide."""
    given = msgspec.structs.replace(
        result(A),
        title=f"{EVIL}A <b>title</b>\u202e",
        content=f"Some &lt;i&gt;text&lt;/i&gt;{EVIL}",
        raw_content=f"# Page\n{EVIL}[x](javascript:alert(1)) > List<int>",
        published_date="2026-01-01<b>",
        favicon="javascript:alert(1)",
        images=(
            "https://a.example/i.png",
            "data:text/html,x",
            {"url": "http://b.example/", "description": EVIL},
        ),
    )
    answer = msgspec.structs.replace(
        answer_of(given), answer=f"Because{EVIL}.", images=("https://c.example/", "javascript:1", 7)
    )

    kept, _ = await judged(search(), answer)

    (one,) = kept.results
    assert (one.title, one.content) == ("A title", "Some text")
    assert one.raw_content == "# Page\n[x](#alert(1)) > List<int>"
    assert (one.published_date, one.favicon) == ("2026-01-01", None)
    assert one.images == ("https://a.example/i.png", {"url": "http://b.example/", "description": ""})
    assert (kept.answer, kept.images) == ("Because.", ("https://c.example/",))


@pytest.mark.parametrize(
    "url",
    [
        *(
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "https://bank.example@evil.example/",
        ),
        *(
            "https://a.example/\u202egpj.exe",
            "https://a\u200b.example/",
            "https://a.example/\x00",
            "ftp://a/",
        ),
    ],
)
async def test_a_url_that_is_not_what_it_looks_like_is_dropped(url: str):
    """Only http and https, no user name in front of the host, no characters nobody sees."""
    kept, _ = await judged(search(), answer_of(result(A), result(url)))

    assert [one.url for one in kept.results] == [A]
