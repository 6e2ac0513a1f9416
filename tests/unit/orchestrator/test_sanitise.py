"""Whatever strangers write: what leaves is visible, does nothing, and is otherwise what it was."""

from __future__ import annotations

import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.sanitise import page, plain, visible

FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
HEART = "\u2764\ufe0f\u200d\U0001f525"
PIECES = [
    *(
        "<",
        ">",
        "</",
        "script",
        "<script>",
        "</script>",
        "<b>",
        "<img src=x",
        " onerror=",
        "&lt;",
        "&amp;",
        "&#x202e;",
    ),
    *(
        "<!--",
        "-->",
        "<!",
        "a",
        " ",
        "\n",
        "\r",
        "\x00",
        "\u200d",
        "\u200c",
        "\ufe0f",
        "\u202e",
        "\U000e0041",
    ),
    *("\U0001f469", "\u0645", "\u0915", "javascript:", "](", "=", '"', "'", "/", "style", "<svg ", "\ud800"),
    *("&", ";", "lt;", "&quot;", "<a href=", "int", "List<int>", "1", "\u00e9", "\u3164", "\ufeff", "\u115f"),
]
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join))
"""Any text at all, and texts of which each piece is chosen to hurt."""


def hidden(text: str) -> list[str]:
    """The characters of a text that no reader sees, but for the joiners."""
    return [
        hex(ord(c))
        for c in text
        if (unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") and c not in "\t\n\u200c\u200d")
        or c in "\u115f\u1160\u3164\uffa0\u034f\ufe00\U000e0100"
    ]


@given(TEXTS)
def test_visible_text_hides_nothing(text: str):
    """Nothing hidden is left, nothing visible is added, and a second time changes nothing."""
    seen = visible(text)

    assert hidden(seen) == []
    assert visible(seen) == seen
    assert not re.search("\u200d\u200d|^\u200d|\u200d$|^\u200c|\u200c$", seen)


@given(TEXTS, st.integers(1, 40))
def test_plain_text_has_no_markup(text: str, chars_max: int):
    """No tag of HTML survives, whole, nested, broken or encoded; the bound holds; it is idempotent."""
    shown = plain(text, chars_max)

    assert len(shown) <= chars_max
    assert hidden(shown) == []
    assert not re.search(r"(?i)</?(script|b|img|svg|style|a)[\s/>]|<!--", shown)
    assert plain(shown, chars_max) == shown


@given(TEXTS)
def test_a_page_does_nothing(text: str):
    """Nothing that acts survives in a page, and it is idempotent."""
    shown = page(text, 1_000)

    assert hidden(shown) == []
    assert not re.search(
        r"(?i)<(script|style|svg)[\s/>]|<[a-z][^<>]*[\s/\"']onerror=[^<>]*>|\]\(javascript:", shown
    )
    assert page(shown, 1_000) == shown


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("<script>alert(1)</script>Title", "Title"),
        ("<b>AMOS</b> &amp; co", "AMOS & co"),
        ("&lt;script&gt;x&lt;/script&gt;ok", "ok"),
        ("&amp;lt;b&amp;gt;x", "x"),
        ("<scr\u200bipt>x</script>y", "y"),
        ("Gull&eacute;s &#39;26", "Gull\u00e9s '26"),
        ("<p>One</p><p>Two</p>", " One  Two "),
        ("<svg/onload=alert(1)>k", "k"),
        ("x<foo onclick=alert(1)>y", "xy"),
        ("t<!-- c -->u", "tu"),
        # No markup, and as it was.
        ("a < b && c > d", "a < b && c > d"),
        ("List<int> x = new List<int>();", "List<int> x = new List<int>();"),
        ("AT&T, R&D, ?a=1&copy=2", "AT&T, R&D, ?a=1&copy=2"),
        ("1 <2", "1 <2"),
        (f"{FAMILY} {HEART}", f"{FAMILY} {HEART}"),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        ),
        ("\u0915\u094d\u200d\u0937", "\u0915\u094d\u200d\u0937"),
        ("p\u0430ypal", "p\u0430ypal"),
        # Hidden, and gone.
        ("x\u200dy", "xy"),
        ("\u202eabc\u2066d", "abcd"),
        ("a\x00b\x1b[31m", "ab[31m"),
        ("one\r\ntwo\u2028three", "one\ntwo\nthree"),
        ("hi\U000e0069\U000e0067", "hi"),
        ("\ufeffa\u00adb\ufe0f", "ab"),
    ],
)
def test_titles_and_snippets(given_text: str, shown: str):
    """What is markup goes, what only looks like it stays."""
    assert plain(given_text, 1_000) == shown


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("# T\n\n> quote & `List<T>`\n```\n<b>c</b>\n```", "# T\n\n> quote & `List<T>`\n```\n<b>c</b>\n```"),
        ("<script>alert(1)</script>text", "text"),
        ("<SCRIPT\nsrc=x>1</Script >text", "text"),
        ("<script>never closed", "never closed"),
        ("<scr<script></script>ipt>x", "x"),
        ('<div onclick="x()">a', "a"),
        ('<a href="https://a.example/">a</a>', '<a href="https://a.example/">a</a>'),
        ("<a href=' java\nscript:alert(1)'>c", "c"),
        ("<a href=&#106;avascript:alert(1)>c", "c"),
        ("[x](javascript:alert(1)) Javascript: The Good Parts", "[x](#alert(1)) Javascript: The Good Parts"),
        ("<iframe srcdoc='<b>'></iframe>t", "t"),
        ("a\u202eb\x00", "ab"),
    ],
)
def test_pages(given_text: str, shown: str):
    """A page keeps its Markdown and its harmless HTML."""
    assert page(given_text, 1_000) == shown


@pytest.mark.parametrize(
    "piece",
    [
        "<script>",
        "<",
        "<a",
        "<a=",
        "<a on ",
        "\u200d",
        FAMILY[:2],
        "&amp;",
        "&",
        "<b>",
        "<script></style>",
        "]( ",
    ],
)
def test_ten_megabytes_take_linear_time(piece: str):
    """What is built to take long is cut at the bound and costs no more than its length."""
    text = piece * (10_000_000 // len(piece))
    begun = time.process_time()

    assert len(page(text, 1_000_000)) <= 1_000_000
    assert len(plain(text, 20_000)) <= 20_000

    # A hundred times what it takes; what is not linear takes hours.
    assert time.process_time() - begun < 20.0
