"""Two requests share a key exactly when they ask the same."""

from __future__ import annotations

import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.canonical import clients_own, normalize, page_key, search_key
from orchestrator.model import ExtractRequest, SearchRequest

PLAIN = SearchRequest(query="tide tables")
PAGE = ExtractRequest(urls=("https://almanac.example/tides",))

texts = st.text(st.characters(codec="utf-8"), max_size=40)


def search(**fields):
    """A search with these fields."""
    return search_key(SearchRequest(**{"query": "tide tables", **fields}))


def page(**fields):
    """A page with these fields."""
    return page_key(msgspec.structs.replace(PAGE, **fields))


@given(texts)
def test_normalising_twice_changes_nothing(text):
    """The compared form of a query is its own compared form."""
    once = normalize(text)

    assert normalize(once) == once


@given(texts)
def test_normalising_keeps_case_idempotently(text):
    """So is the form that keeps case."""
    once = normalize(text, keeps_case=True)

    assert normalize(once, keeps_case=True) == once


def test_normalising_every_character_twice_changes_nothing():
    """No character of Unicode, after a letter, has a compared form that is not final."""
    for code in range(0x30000):
        if 0xD800 <= code < 0xE000:
            continue
        once = normalize("\u03b1" + chr(code))
        assert normalize(once) == once, hex(code)


@given(st.lists(st.text(st.sampled_from("abcxyz"), min_size=1, max_size=8), min_size=1), st.data())
def test_spelling_does_not_matter(words, data):
    """Case, blanks and the Unicode form of a query do not change its key."""
    blank = st.text(st.sampled_from(" \t\n\u00a0\u3000"), min_size=1, max_size=3)
    spelled = "".join(
        (word.upper() if data.draw(st.booleans()) else word) + data.draw(blank) for word in words
    )

    assert search_key(SearchRequest(query=spelled)) == search_key(SearchRequest(query=" ".join(words)))


@given(texts)
def test_unicode_forms_share_a_key(text):
    """Composed and decomposed spellings of a text are the same query."""
    forms = {unicodedata.normalize(form, text) for form in ("NFC", "NFD", "NFKC", "NFKD")}

    assert len({search_key(SearchRequest(query=form)) for form in forms}) == 1


@given(st.lists(st.sampled_from(["a.example", "b.example", "c.example/x"])), st.randoms())
def test_domain_lists_are_sets(domains, random):
    """The order and repetition of domains do not change the key."""
    shuffled = domains + domains[:1]
    random.shuffle(shuffled)

    assert search(include_domains=tuple(shuffled)) == search(include_domains=tuple(domains))
    assert search(exclude_domains=tuple(shuffled)) == search(exclude_domains=tuple(domains))


@pytest.mark.parametrize(
    "fields",
    [
        {"search_depth": "basic"},
        {"topic": "general"},
        {"max_results": 5},
        {"chunks_per_source": 3},
        {"include_answer": False},
        {"include_raw_content": False},
        {"include_images": False},
        {"include_favicon": False},
        {"include_image_descriptions": False},
        {"include_domains": ()},
        {"filter_by_language": False},
        {"auto_parameters": False},
        {"exact_match": False},
        {"safe_search": False},
        {"extra": {}},
    ],
)
def test_a_default_written_out_is_no_difference(fields):
    """A field with its default value and a field not given ask the same."""
    assert search(**fields) == search()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"time_range": "d"}, {"time_range": "day"}),
        ({"time_range": "y"}, {"time_range": "year"}),
        ({"include_answer": True}, {"include_answer": "basic"}),
        ({"include_raw_content": True}, {"include_raw_content": "markdown"}),
        ({"extra": {"a": 1, "b": {"c": 2, "d": 3}}}, {"extra": {"b": {"d": 3, "c": 2}, "a": 1}}),
        ({"max_results": 20}, {"max_results": 25}),
    ],
)
def test_two_ways_to_say_the_same_share_a_key(one, other):
    """Documented synonyms, the order of unknown fields and what is clamped anyway make no difference."""
    assert search(**one) == search(**other)


DIFFERENT = [
    {"query": "tide table"},
    {"search_depth": "advanced"},
    {"topic": "news"},
    {"max_results": 6},
    {"max_results": 0},
    {"chunks_per_source": 1},
    {"time_range": "day"},
    {"start_date": "2026-01-01"},
    {"end_date": "2026-01-01"},
    {"days": 3},
    {"include_answer": True},
    {"include_answer": "advanced"},
    {"include_raw_content": True},
    {"include_raw_content": "text"},
    {"include_images": True},
    {"include_image_descriptions": True},
    {"include_favicon": True},
    {"include_domains": ("a.example",)},
    {"include_domains": ("b.example",)},
    {"exclude_domains": ("a.example",)},
    {"include_domains": ("a.example",), "include_domains_mode": "boost"},
    {"country": "germany"},
    {"language": "de"},
    {"language": "de", "filter_by_language": True},
    {"include_published_date": True},
    {"filter_by_published_date": True},
    {"auto_parameters": True},
    {"auto_parameters": True, "search_depth": "basic"},
    {"auto_parameters": True, "topic": "general"},
    {"exact_match": True},
    {"safe_search": True},
    {"extra": {"max_age_hours": 1}},
    {"extra": {"max_age_hours": 2}},
    {"extra": {"max_hours": 1}},
]


def test_what_changes_the_answer_changes_the_key():
    """No two requests that may be answered differently share a key."""
    keys = {search(), *(search(**fields) for fields in DIFFERENT)}

    assert len(keys) == len(DIFFERENT) + 1


def test_an_exact_search_minds_case():
    """With `exact_match` the quoted words are compared as written, blanks aside."""
    assert search(query='"IT  jobs"', exact_match=True) == search(query='"IT jobs"', exact_match=True)
    assert search(query='"IT jobs"', exact_match=True) != search(query='"it jobs"', exact_match=True)


def test_fields_do_not_run_into_each_other():
    """A value in one field is not the same value in its neighbour."""
    assert search(start_date="2026-01-01") != search(end_date="2026-01-01")
    assert search(include_domains=("a.example",)) != search(exclude_domains=("a.example",))


def test_a_page_is_known_by_its_url_as_written():
    """The URL is echoed in the answer, so only the same spelling shares a page."""
    assert page() != page(urls=("https://almanac.example/tides/",))
    assert page() == page(timeout_s=3.0)


@pytest.mark.parametrize(
    "fields",
    [
        {"extract_depth": "basic"},
        {"format": "markdown"},
        {"include_images": False},
        {"include_favicon": False},
        {"chunks_per_source": 5},
        {"extra": {}},
    ],
)
def test_a_page_with_its_defaults_written_out_is_the_same(fields):
    """Defaults written out make no difference; chunks mean nothing without a query."""
    assert page(**fields) == page()


def test_what_changes_a_page_changes_its_key():
    """Depth, format, images, the query, its chunks and unknown fields each make another page."""
    different = [
        {"extract_depth": "advanced"},
        {"format": "text"},
        {"include_images": True},
        {"include_favicon": True},
        {"query": "springs"},
        {"query": "springs", "chunks_per_source": 1},
        {"extra": {"x": 1}},
    ]

    assert len({page(), *(page(**fields) for fields in different)}) == len(different) + 1
    assert page(query="springs") == page(query=" SPRINGS", chunks_per_source=3)


def test_searches_and_pages_never_meet():
    """A key says what kind of thing it names."""
    assert search_key(PLAIN) != page_key(PAGE)
    assert len(search_key(PLAIN)) == 32


def test_keys_of_clients_are_their_own():
    """Where answers are not shared each client has its own key of a question, and none is the shared one."""
    key = search_key(PLAIN)

    keys = {clients_own(key, "acme"), clients_own(key, "other"), clients_own(page_key(PAGE), "acme"), key}

    assert len(keys) == 4
    assert clients_own(key, "acme") == clients_own(search_key(PLAIN), "acme")
    assert all(len(one) == 32 for one in keys)


@pytest.mark.parametrize(("one", "other"), [("restrict", "filter"), ("prefer", "boost")])
def test_both_words_for_a_mode_mean_the_same(one, other):
    """Whichever of them a client has; without a mode it is something else."""
    domains = ("a.example",)

    same = {search(include_domains=domains, include_domains_mode=mode) for mode in (one, other)}

    assert len(same) == 1
    assert search(include_domains=domains) not in same
