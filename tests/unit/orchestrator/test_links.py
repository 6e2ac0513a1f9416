"""Links to one page are recognised as such, and links to two pages are not confused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.links import canonical_link

PLAIN = "https://almanac.example/tides?year=2026"

SAME = [
    "http://almanac.example/tides?year=2026",
    "https://Almanac.EXAMPLE/tides?year=2026",
    "https://www.almanac.example/tides?year=2026",
    "https://almanac.example:443/tides?year=2026",
    "http://almanac.example:80/tides?year=2026",
    "https://almanac.example./tides?year=2026",
    "https://almanac.example/tides/?year=2026",
    "https://almanac.example/tides?year=2026#may",
    "https://almanac.example/tides?year=2026#:~:text=High%20water",
    "https://almanac.example/tides?year=2026#page=3",
    "https://almanac.example/tides?utm_source=x&year=2026&utm_medium=y",
    "https://almanac.example/tides?year=2026&GCLID=abc&fbclid=def&",
    "https://almanac.example/%74ides?year=%32026",
]

DIFFERENT = [
    "https://almanac.example/Tides?year=2026",
    "https://almanac.example/tides?year=2027",
    "https://almanac.example/tides",
    "https://almanac.example/tides/may?year=2026",
    "https://almanac.example:8443/tides?year=2026",
    "https://old.almanac.example/tides?year=2026",
    "https://almanac.example/tides?year=2026#/may",
    "https://almanac.example/tides?year=2026#!may",
    "https://almanac.example/tides?year=2026#?month=may",
    "https://almanac.example/tides?year=2026#gid=5",
    "https://almanac.example/tides?year=2026#inbox/5",
    "https://almanac.example/tides?year=2026&utmost=1",
    "https://almanac.example/tides%2F?year=2026",
    "file:///almanac.example/tides?year=2026",
]


@pytest.mark.parametrize("url", SAME)
def test_what_leads_to_one_page_is_the_same(url: str):
    """Spelling, and parameters that only say where a reader came from, make no other page."""
    assert canonical_link(url) == canonical_link(PLAIN)


@pytest.mark.parametrize("url", DIFFERENT)
def test_what_may_be_another_page_is_another(url: str):
    """Paths, queries, ports, other hosts and pages within an application are told apart."""
    assert canonical_link(url) != canonical_link(PLAIN)


def test_the_root_has_one_form():
    """With or without a slash, and with tracking alone."""
    assert len({canonical_link(f"https://a.example{end}") for end in ("", "/", "/?utm_id=1", "?#top")}) == 1


def test_each_passage_of_a_file_is_its_own():
    """The local index tells two passages of a document, whose addresses differ in the anchor alone."""
    assert len({canonical_link(f"file:///srv/tides.md{end}") for end in ("", "#ebb", "#flood", "#L40")}) == 4


def test_a_host_that_is_only_www_is_a_host():
    """`www.` is taken from what is a host without it."""
    assert canonical_link("http://www.localhost/") != canonical_link("http://localhost/")


def test_escapes_keep_their_meaning():
    """An escape in small letters is the same as in capitals; a slash that is escaped is no slash."""
    assert canonical_link("http://a.example/%c3%a9") == canonical_link("http://a.example/%C3%A9")
    assert canonical_link("http://a.example/a%2fb") != canonical_link("http://a.example/a/b")


@given(
    st.text("abcXYZ%2f/.-_~", max_size=30),
    st.lists(st.sampled_from(["a=1", "b=%7e", "utm_x=1", "gclid=2", "", "c"]), max_size=5),
    st.sampled_from(["", "#top", "#/app", "#!app"]),
)
def test_the_form_of_a_form_is_itself(path: str, query: list[str], fragment: str):
    """Comparing by it is an equivalence: nothing changes the second time."""
    form = canonical_link(f"https://www.a.example/{path}?{'&'.join(query)}{fragment}")

    assert canonical_link(f"https://{form}") == form
