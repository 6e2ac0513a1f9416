"""An answer as a person sees it."""

from __future__ import annotations

from typing import Any

from api.cli.search_view import SNIPPET_CHARS_MAX, extract_view, search_view
from tests.support.rendering import rendered


def answer(*results: dict[str, Any], **amos: Any) -> dict[str, Any]:
    """A search answer in Tavily's format with the amos extension."""
    return {"query": "tide", "answer": None, "results": list(results), "response_time": 0.25, "amos": amos}


def result(**fields: Any) -> dict[str, Any]:
    """One result."""
    return {
        "title": "Tides",
        "url": "https://almanac.example/tides",
        "content": "High water 06:40.",
        **fields,
    }


def test_a_result_has_rank_title_url_and_snippet():
    """Results are numbered from 1, each with its title, address and passage on lines of their own."""
    text = rendered(search_view(answer(result(), result(title="Moon"))))

    assert [line.rstrip() for line in text.splitlines()[:5]] == [
        " 1  Tides",
        "    https://almanac.example/tides",
        "    High water 06:40.",
        "",
        " 2  Moon",
    ]


def test_the_last_line_says_why():
    """Provider, cache, time, number of attempts, price and execution end the answer."""
    body = answer(
        result(),
        provider="jina",
        cache="miss",
        credits=0,
        execution_id="0199",
        attempts=[
            {"provider": "tavily", "outcome": "retryable", "reason": "http_500", "duration_s": 0.1},
            {"provider": "jina", "outcome": "success", "reason": "", "duration_s": 0.1},
        ],
    )

    last = rendered(search_view(body)).splitlines()[-2:]

    assert last == [
        "why  jina · not in cache · 250 ms · 2 attempts · free · execution 0199",
        "     tavily retryable: http_500 after 100 ms",
    ]


def test_a_hit_says_how_old_it_is():
    """An answer from the cache names the tier and its age, and that it is stale if it is."""
    text = rendered(
        search_view(answer(provider="tavily", cache="l1", age_s=90, stale=True, credits=2, cost_usd=0.016))
    )

    assert "cache hit in l1, 1 min 30 s old, stale" in text
    assert "2 credits ($0.016)" in text


def test_what_was_not_honoured_is_said():
    """The floor of the chain, ignored options and clamped values are told below the reasons."""
    text = rendered(
        search_view(answer(provider="local", degraded=True, unsupported=["topic"], notes=["Clamped."]))
    )

    assert "local (degraded: the floor of the chain)" in text
    assert "not honoured: topic" in text
    assert "     Clamped." in text


def test_nothing_found_is_said():
    """An empty answer is a sentence, not silence."""
    assert "No results for 'tide'." in rendered(search_view(answer(provider="local")))


def test_a_written_answer_comes_first():
    """The answer stands above the results it was written from."""
    assert rendered(search_view({**answer(result()), "answer": "At 06:40."})).startswith("At 06:40.")


def test_a_hostile_result_cannot_command_the_terminal():
    """No escape sequence, line break or change of direction reaches the terminal; the link is not made."""
    hostile = result(
        title="Good\x1b]0;owned\x07\x1b[2J\r\ntitle\u202e",
        url="https://evil.example/\x1b]8;;file:///etc/passwd\x1b\\",
        content="a\x9b31mb",
        published_date="\x1b[5mnow",
    )

    piped = rendered(search_view(answer(hostile)))
    on_terminal = rendered(search_view(answer(hostile)), is_terminal=True)

    assert not {"\x1b", "\x07", "\x9b", "\r", "\u202e"} & set(piped)
    assert "\x1b]0" not in on_terminal
    assert "\x1b]8" not in on_terminal
    assert not {"\x07", "\x9b", "\r", "\u202e"} & set(on_terminal)


def test_markup_in_a_title_is_text():
    """Square brackets of a title are printed as they are."""
    assert "[bold red]x[/] :smile:" in rendered(search_view(answer(result(title="[bold red]x[/] :smile:"))))


def test_a_url_is_a_link_on_a_terminal():
    """On a terminal the address can be clicked."""
    assert ";https://almanac.example/tides\x1b\\" in rendered(search_view(answer(result())), is_terminal=True)


def test_a_long_passage_is_cut_at_a_word():
    """A snippet ends between words, with a sign that there is more."""
    text = rendered(search_view(answer(result(content="word " * 200))), width=1000)

    line = text.splitlines()[2].strip()
    assert line.endswith("word …")
    assert len(line) <= SNIPPET_CHARS_MAX + 2


def test_an_answer_of_another_server_may_lack_everything():
    """Missing members are no failure: the view shows what there is."""
    assert rendered(search_view({"results": [{}]})).splitlines()[0] == " 1  (without title)"


def test_an_extract_shows_pages_and_failures():
    """Each page has a heading, its address and its text with line breaks; an unread one its reason."""
    body = {
        "results": [{"url": "https://a.example/", "title": "A", "raw_content": "# A\n\ntext\x1b[2J"}],
        "failed_results": [{"url": "https://gone.example/", "error": "Failed to fetch url"}],
        "response_time": 0.5,
        "amos": {"provider": "jina"},
    }

    assert rendered(extract_view(body)).splitlines() == [
        "A",
        "https://a.example/",
        "",
        "# A",
        "",
        "text\ufffd[2J",
        "",
        "not read  https://gone.example/: Failed to fetch url",
        "why  jina · 500 ms · free",
    ]


def test_who_was_passed_by_was_no_attempt():
    """Providers whose circuit is open were not asked, and it took no time."""
    tried = {"provider": "tavily", "outcome": "retryable", "reason": "http_500", "duration_s": 0.1}
    passed = {"provider": "jina", "outcome": "skipped", "reason": "circuit_open", "duration_s": 0.0}

    lines = rendered(search_view(answer(provider="tavily", attempts=[tried, passed]))).splitlines()

    assert "· 1 attempt ·" in lines[-3]
    assert lines[-1] == "     jina skipped: circuit_open"
