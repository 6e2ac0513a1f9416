"""Markdown and text become titled passages that lead back to their place."""

from __future__ import annotations

import pytest

from orchestrator.providers.local_documents import (
    PASSAGE_CHARS_MAX,
    PASSAGES_MAX,
    Unreadable,
    decode,
    read_markdown,
    read_rst,
    read_text,
)


def test_each_markdown_section_is_a_passage() -> None:
    """A passage is named by the document and the headings above it, and has their anchor."""
    text = "# Handbook\nWelcome.\n\n## Backup\nNightly.\n### Restore it\nSlowly.\n## Power & light\nOn.\n"

    passages = read_markdown("/h.md", text)

    assert [(p.title, p.anchor, p.body) for p in passages] == [
        ("Handbook", "handbook", "Welcome."),
        ("Handbook › Backup", "backup", "Nightly."),  # noqa: RUF001
        ("Handbook › Backup › Restore it", "restore-it", "Slowly."),  # noqa: RUF001
        ("Handbook › Power & light", "power--light", "On."),  # noqa: RUF001
    ]


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("---\ntitle: 'From the top'\n---\n# Other\nx\n", "From the top"),
        ("Under lined\n===\nx\n", "Under lined"),
        ("just words\n", "guide"),
        ("# [A link](http://x.example) and `code` ##\nx\n", "A link and code"),
    ],
    ids=["front-matter", "setext", "file-name", "marks-removed"],
)
def test_markdown_title(text: str, title: str) -> None:
    """The title is the front matter's, else the first heading of level 1, else the file's name."""
    assert read_markdown("/docs/guide.md", text)[0].title.startswith(title)


def test_headings_in_a_fence_are_code() -> None:
    """What stands in a fence is part of its section, whatever it looks like."""
    (passage,) = read_markdown("/a.md", "# A\n```sh\n# a comment\n```\nend\n")

    assert "# a comment" in passage.body
    assert passage.body.endswith("end")


def test_repeated_headings_have_anchors_of_their_own() -> None:
    """The second heading of the same words gets a number, and a written id is taken as it is."""
    anchors = [p.anchor for p in read_markdown("/a.md", "## Use\na\n## Use\nb\n## Use {#own}\nc\n")]

    assert anchors == ["use", "use-1", "own"]


def test_comments_are_no_text() -> None:
    """An HTML comment is left out; one that never ends is text."""
    (passage,) = read_markdown("/a.md", "before <!-- license\n# no heading --> after <!-- open")

    assert passage.body == "before \n after <!-- open"


def test_long_sections_are_cut() -> None:
    """A section beyond the bound becomes passages below it, without losing a word."""
    words = [f"word{number}" for number in range(2_000)]
    text = "# T\n" + "\n\n".join(" ".join(words[begin : begin + 50]) for begin in range(0, 2_000, 50))

    passages = read_markdown("/a.md", text)

    assert len(passages) > 5
    assert all(len(p.body) <= PASSAGE_CHARS_MAX for p in passages)
    assert " ".join(p.body for p in passages).split() == words


def test_a_line_without_end_is_cut_too() -> None:
    """Text without a single line end or space is cut at the bound."""
    passages = read_text("/a.txt", "x" * 10_001)

    assert sum(len(p.body) for p in passages) == 10_001
    assert max(len(p.body) for p in passages) == PASSAGE_CHARS_MAX


def test_passages_of_plain_text_are_found_by_line() -> None:
    """The anchor of a piece of plain text is the line it begins at."""
    paragraph = "\n".join(["forty characters of text, more or less.."] * 30)

    passages = read_text("/notes.txt", f"{paragraph}\n\n{paragraph}\n\n{paragraph}")

    assert [(p.title, p.anchor) for p in passages] == [("notes", "L1"), ("notes", "L32"), ("notes", "L63")]


def test_rst_is_cut_at_its_headings() -> None:
    """Levels are the order in which the underlines are first used; a line above belongs to the heading."""
    text = "=====\nGuide\n=====\nIntro.\n\nSet up\n------\nDo it.\n\nTable\n=====\nno heading of level 2\n"

    assert [(p.title, p.anchor) for p in read_rst("/g.rst", text)] == [
        ("Guide", "guide"),
        ("Guide › Set up", "set-up"),  # noqa: RUF001
        ("Guide › Table", "table"),  # noqa: RUF001
    ]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("\ufeffcafé".encode(), "café"),
        ("café".encode("latin-1"), "café"),
        ("café".encode("utf-16"), "café"),
        (b'<meta charset="koi8-r">' + "да".encode("koi8-r"), '<meta charset="koi8-r">да'),
        (b"<meta charset=gb-nonsense>caf\xe9", "<meta charset=gb-nonsense>café"),
        (b"<meta charset=utf-7>+2AA-", "<meta charset=utf-7>+2AA-"),
        ("a\u202eb\u200bc\r\nd\x07".encode(), "abc\nd"),
    ],
    ids=["bom", "latin-1", "utf-16", "declared", "declared-wrongly", "unsafe", "invisible"],
)
def test_encodings(data: bytes, text: str) -> None:
    """A file says its encoding by its mark or its HTML, else it is UTF-8 or Latin-1. All is visible."""
    assert decode(data) == text


def test_binary_is_no_document() -> None:
    """A NUL tells a binary file from a text."""
    with pytest.raises(Unreadable, match="binary"):
        decode(b"PK\x03\x04\0\0")


def test_no_text_is_no_document() -> None:
    """A file of white space is skipped, a file of headings alone is found by them."""
    with pytest.raises(Unreadable, match="no text"):
        read_markdown("/a.md", " \n\n ")

    assert read_markdown("/a.md", "# Lonely\n")[0].body == "Lonely"


def test_a_document_has_a_bound() -> None:
    """More sections than any text has are not taken in."""
    with pytest.raises(Unreadable, match="passages"):
        read_markdown("/a.md", "# a\nb\n" * (PASSAGES_MAX + 1))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("unit", ["<!--", "[", "#", "# ", "`", "---\n", "\\{#", "\n\n\n", "| "])
def test_time_is_linear(unit: str) -> None:
    """A megabyte of anything is read in seconds or refused."""
    try:
        read_markdown("/a.md", unit * (1_000_000 // len(unit)))
    except Unreadable:
        return
