"""The search page: an answer with the way it took, and every way in which there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.model import SearchAnswer, SearchResult
from tests.support.gateway_server import serving
from tests.support.memory_gateway import unreachable

if TYPE_CHECKING:
    import httpx

    from tests.support.memory_gateway import MemoryGateway

HOSTILE = '"><script>alert(1)</script><hx-partial hx-target="body">{{ 1234567 * 7 }}'


def result(title: str, url: str, content: str = "High water 06:40.") -> SearchResult:
    """One result."""
    return SearchResult(title=title, url=url, content=content, score=0.5, raw_content=None)


async def test_an_answer_comes_with_its_way(client: httpx.AsyncClient):
    """First the provider is asked, which costs; then the cache has it, and the page says so."""
    first = (await client.get("/", params={"q": "tide tables"})).text
    second = (await client.get("/", params={"q": "Tide  tables"})).text

    assert 'href="https://almanac.example/tides" rel="noreferrer noopener nofollow"' in first
    assert "l1 absent" in first
    assert "1 result, 1 credit" in first
    assert "<dt>Cost</dt><dd>1 credit ($0.008)</dd>" in first
    assert "cache in memory" in second
    assert "<dt>Cost</dt><dd>nothing</dd>" in second
    assert "<dt>Saved</dt><dd>1 credit ($0.008)</dd>" in second


async def test_the_execution_is_recorded_at_its_own_door(client: httpx.AsyncClient, memory: MemoryGateway):
    """It is one execution as every other, at the door `console`, and the page leads to it."""
    shown = (await client.get("/", params={"q": "tide tables"})).text

    first = memory.journal.frames[0]
    assert (first.events[0].event.door, first.events[0].event.target) == ("console", "/")
    assert f'href="/console/executions/{first.stream}"' in shown


async def test_what_strangers_wrote_is_text(client: httpx.AsyncClient, memory: MemoryGateway):
    """Titles, texts, addresses and the query itself never become part of the page."""
    memory.provider.finds = SearchAnswer(
        results=(result(HOSTILE, "https://evil.example/?" + HOSTILE, HOSTILE),), answer=HOSTILE, images=()
    )

    shown = (await client.get("/", params={"q": HOSTILE, "include_domains": HOSTILE})).text

    assert "<script>alert" not in shown
    assert "<hx-partial" not in shown
    assert "8641969" not in shown


async def test_only_addresses_of_the_web_become_links(tmp_path):
    """A file of the local index is named, and cannot be clicked: a browser would refuse it anyway."""
    (tmp_path / "tides.md").write_text("# Tides\n\nHigh water 06:40.\n")
    async with serving(tmp_path / "data", local_paths=(tmp_path,)) as amos:
        shown = (await amos.client.get("/?q=tides")).text

    assert '<p class="result-url">file:' in shown
    assert 'href="file:' not in shown


async def test_htmx_gets_the_answer_alone(client: httpx.AsyncClient):
    """A part goes into the page; going back asks for the whole page again."""
    part = await client.get("/?q=tides", headers={"HX-Request": "true"})
    whole = await client.get(
        "/?q=tides", headers={"HX-Request": "true", "HX-History-Restore-Request": "true"}
    )

    assert "<html" not in part.text
    assert "<title>tides · Search · AMOS</title>" in part.text
    assert 'class="results"' in part.text
    assert "<html" in whole.text


async def test_the_form_keeps_what_was_asked(client: httpx.AsyncClient):
    """Options stand as they were chosen, and are open; without any they are folded away."""
    plain = (await client.get("/?q=tides&topic=&max_results=")).text
    chosen = (
        await client.get("/?q=tides&topic=news&max_results=10&include_domains=a.example,b.example")
    ).text

    assert '<details class="options">' in plain
    assert '<details class="options" open>' in chosen
    assert '<option value="news" selected>' in chosen
    assert '<option value="10" selected>' in chosen
    assert 'value="a.example,b.example"' in chosen


async def test_a_fresh_answer_passes_the_cache_by(client: httpx.AsyncClient, memory: MemoryGateway):
    """Whoever may spend money may ask anew."""
    for _ in range(2):
        await client.get("/?q=tides&fresh=true")

    assert len(memory.provider.calls) == 2


async def test_loading_the_page_again_costs_nothing(client: httpx.AsyncClient, memory: MemoryGateway):
    """What a browser says of caches when somebody presses reload is not what they wish of ours."""
    for wish in ("max-age=0", "no-cache"):
        await client.get("/?q=tides", headers={"Cache-Control": wish})

    assert len(memory.provider.calls) == 1


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}])
@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("q=" + "x" * 401, "Query is too long. Max query length is 400 characters."),
        ("q=tides&max_results=many", "max_results: expected an integer, got a string."),
        ("q=tides&topic=weather", "topic"),
        ("q=%ff", "The parameters are not percent-encoded UTF-8."),
    ],
)
async def test_a_question_that_is_none_is_explained(
    client: httpx.AsyncClient, question: str, said: str, headers: dict[str, str]
):
    """The page is there all the same, with what was wrong."""
    shown = await client.get(f"/?{question}", headers=headers)

    assert shown.status_code == 400
    assert said in shown.text
    assert ("<html" in shown.text) is not bool(headers)


async def test_when_every_provider_failed_the_page_says_what_was_tried(
    client: httpx.AsyncClient, memory: MemoryGateway
):
    """The reason of each, the bar of each call, and the execution to read on."""
    memory.provider.failure = unreachable()

    shown = await client.get("/?q=tides", headers={"HX-Request": "true"})

    assert shown.status_code == 503
    assert "No search provider could answer (scripted: connect" in shown.text
    assert 'scripted, call 2 <span class="waterfall-note">connect' in shown.text
    assert "track-danger" in shown.text
    assert "This execution in the record" in shown.text


async def test_nothing_found_is_no_error(client: httpx.AsyncClient, memory: MemoryGateway):
    """An empty answer is an answer."""
    memory.provider.finds = SearchAnswer(results=(), answer=None, images=())

    shown = await client.get("/?q=tides")

    assert (shown.status_code, "Nothing was found" in shown.text) == (200, True)


async def test_when_nothing_can_be_recorded_the_page_says_so(
    client: httpx.AsyncClient, memory: MemoryGateway
):
    """An answer that leaves no trace is not given, here as everywhere."""
    memory.journal.is_full = True

    shown = await client.get("/?q=tides")

    assert shown.status_code == 503
    assert "The journal is full." in shown.text
    assert "in the record" not in shown.text
