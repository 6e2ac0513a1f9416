"""Invented web pages that follow from the query alone: hosts, titles and sentences holding its words."""

from __future__ import annotations

import zlib

HOSTS = (
    *("harbour-museum.example", "almanac.example", "news.example", "docs.example", "wiki.example"),
    *("journal.example", "forum.example", "library.example", "gazette.example", "lab.example"),
)

PATTERNS = (
    "{query} is described here in detail, with the figures of the last ten years.",
    "Most readers ask how {query} works; this page answers with examples.",
    "The committee published its findings on {query} and the methods behind them.",
    "A short history of {query}, from the first attempts to the present practice.",
)


def seed_of(text: str) -> int:
    """A number that is the same for the same text in every process."""
    return zlib.crc32(text.encode())


def hosts_for(query: str, count: int) -> list[str]:
    """That many hosts, beginning at a place that depends on the query."""
    start = seed_of(query)
    return [HOSTS[(start + number) % len(HOSTS)] for number in range(count)]


def sentence(query: str, number: int = 0) -> str:
    """A sentence about the query; `number` chooses another one."""
    return PATTERNS[(seed_of(query) + number) % len(PATTERNS)].format(query=query)


def title_for(query: str, host: str) -> str:
    """A title as pages have it."""
    return f"{query[:60]} | {host}"


def page_text(query: str, host: str) -> str:
    """A page of Markdown about the query."""
    body = "\n\n".join(sentence(query, number) for number in range(8))
    return f"# {title_for(query, host)}\n\n{body}\n"
