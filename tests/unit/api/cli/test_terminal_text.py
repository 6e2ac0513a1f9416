"""What text of strangers may do to a terminal: nothing."""

from __future__ import annotations

import json

import pytest

from api.cli.terminal_text import json_for_terminal, link_target, many_lines, one_line

RIGHT_TO_LEFT_OVERRIDE = "\u202e"


def test_an_escape_sequence_is_shown_and_not_obeyed():
    """ESC becomes a visible mark, and what followed it stays as evidence."""
    assert one_line("a\x1b[2Jb") == "a\ufffd[2Jb"


@pytest.mark.parametrize("control", ["\x00", "\x07", "\x08", "\x7f", "\x9b", "\x9d"])
def test_no_control_character_survives(control):
    """Bell, backspace, DEL and the one-byte forms of CSI and OSC are replaced."""
    assert one_line(f"a{control}b") == "a\ufffdb"


@pytest.mark.parametrize(
    "invisible", [RIGHT_TO_LEFT_OVERRIDE, "\u2066", "\u200f", "\u200b", "\ufeff", "\u00ad", "\U000e0041"]
)
def test_what_reorders_or_hides_text_is_dropped(invisible):
    """Bidirectional controls, zero-width characters and tag characters do not reach the terminal."""
    assert one_line(f"evil{invisible}exe") == "evilexe"


def test_letters_of_the_world_stay():
    """Text that people write is not changed, not even where it needs a joiner."""
    assert one_line("می‌خواهم 日本語 👩‍💻 naïve") == "می‌خواهم 日本語 👩‍💻 naïve"


def test_a_line_is_one_line():
    """Line breaks of every kind and runs of spaces become one space."""
    assert one_line(" a\r\nb\u2028c\t d\x85e ") == "a b c d e"


def test_a_page_keeps_its_lines():
    """In a whole page line breaks and tabs stay, and a lone carriage return cannot overwrite a line."""
    assert many_lines("a\r\nb\tc\rd") == "a\nb\tc\ufffdd"


@pytest.mark.parametrize("url", ["https://a.example/x?y=1#z", "http://a.example", "file:///srv/a%20b.md"])
def test_a_plain_url_is_clickable(url):
    """http, https and file URLs of printable ASCII become links."""
    assert link_target(url) == url


@pytest.mark.parametrize(
    "url", ["https://a\x1b\\b", "javascript:alert(1)", "https://a.example/\u202e", "", "x"]
)
def test_any_other_url_is_not(url):
    """A URL that could break out of the link sequence, or that runs something, is only printed."""
    assert link_target(url) is None


def test_json_on_a_terminal_means_the_same():
    """Unsafe characters become escapes, far ones a surrogate pair, and the value stays equal."""
    value = {"title": f"a\x9b{RIGHT_TO_LEFT_OVERRIDE}\U000e0041\x7f日"}

    shown = json_for_terminal(json.dumps(value, ensure_ascii=False))

    assert json.loads(shown) == value
    assert shown == '{"title": "a\\u009b\\u202e\\udb40\\udc41\\u007f日"}'
