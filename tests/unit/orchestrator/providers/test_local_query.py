"""What people type never becomes syntax, and what they read begins at a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.providers.local_query import (
    MATCH_END,
    MATCH_START,
    SNIPPET_CHARS,
    Query,
    parse,
    snippet,
    spaced,
    unspaced,
)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("circuit breaker", Query('"circuit" AND "breaker"', '"circuit" OR "breaker"')),
        ("What is a circuit?", Query('"circuit"', '"circuit"')),
        ("to be or not to be", Query('"to" AND "be" AND "or" AND "not"', '"to" OR "be" OR "or" OR "not"')),
        ('a NEAR(b, 2) * c^d -"x', Query('"NEAR" AND "b" AND "2" AND "c" AND "d" AND "x"',
                                         '"NEAR" OR "b" OR "2" OR "c" OR "d" OR "x"')),
        ('"rate limit" store', Query('"rate limit" AND "store"', '"rate" OR "limit" OR "store"')),
    ],
)  # fmt: skip
def test_words_are_quoted(text: str, query: Query) -> None:
    """Every word is a quoted string; words that only hold a sentence together are left out unless alone."""
    assert parse(text) == query


@pytest.mark.parametrize("text", ["", "  ", '"', "*", "()", "🫠🫠", "\u0301", "_", "-", '""'])
def test_no_words_no_query(text: str) -> None:
    """A text without a letter or digit asks for nothing."""
    assert parse(text) is None


def test_exact_match_does_not_settle_for_less() -> None:
    """With `exact_match` there is no second, looser expression."""
    assert parse("one two", is_exact=True) == Query('"one" AND "two"', "")


def test_scripts_without_spaces() -> None:
    """A run of Chinese is a phrase of letters, or its pairs."""
    query = parse("熔断器")

    assert query is not None
    assert unspaced(query.every) == '"熔断器"'
    assert unspaced(query.some) == '"熔断" OR "断器"'


@given(st.text())
def test_spacing_can_be_undone(text: str) -> None:
    """Text comes back from the index as it went in, for text without invisible characters."""
    text = text.replace("\u200b", "")

    assert unspaced(spaced(text)) == text


@given(st.text(st.sampled_from(f"ab。. \n[](){MATCH_START}{MATCH_END}*`#é熔"), max_size=3_000))
def test_snippets_are_short_and_clean(marked: str) -> None:
    """No snippet is longer than the bound, has a line end, or shows a mark of the index."""
    text = snippet(marked)

    assert len(text) <= SNIPPET_CHARS
    assert not set(text) & {"\n", MATCH_START, MATCH_END}


def test_a_short_passage_is_its_own_snippet() -> None:
    """What fits is shown whole, without Markdown's marks."""
    assert snippet(f"See **[the \x02guide\x03](x.md)**\n\n- `run`\n- {MATCH_START}stop{MATCH_END}") == (
        "See the guide - run - stop"
    )


def test_the_snippet_shows_the_words() -> None:
    """The window begins at a sentence from which the words can be seen, and says what it leaves out."""
    filler = "Nothing to see here at all. " * 40
    text = snippet(f"{filler}The {MATCH_START}breaker{MATCH_END} opens. {filler}")

    assert "The breaker opens." in text
    assert text[0].isupper()
    assert text.endswith("…")


def test_a_snippet_within_a_long_sentence() -> None:
    """Where no sentence begins nearby, the window begins shortly before the word, with an ellipsis."""
    text = snippet("word " * 300 + f"{MATCH_START}needle{MATCH_END} " + "word " * 300)

    assert text.startswith("…word")
    assert "needle" in text
    assert text.endswith("…")
