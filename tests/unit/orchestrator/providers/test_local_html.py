"""A page becomes the passages that its reader sees."""

from __future__ import annotations

import pytest

from orchestrator.providers.local_documents import Unreadable
from orchestrator.providers.local_html import DEPTH_MAX, read_html

PAGE = """<!doctype html><html><head><title>The  Manual</title><style>p{}</style></head><body>
<nav><a href=/>Home</a></nav>
<h1>The Manual</h1><p>First &amp; <b>fore</b>most.
<script>var x = "<p>no</p>";</script>
<section id="setup"><h2>Set up<a class=headerlink href="#setup">¶</a></h2>
<ul><li>one<li>two</ul><pre>a
  b</pre><table><tr><td>x<td>y</table></section>
<h2><a name="late"></a>Later</h2>end<footer>© us</footer></body></html>"""


def test_a_page_is_cut_at_its_headings() -> None:
    """Headings make titles, ids make anchors, machinery is no text, preformatted text keeps its lines."""
    passages = read_html("/m.html", PAGE)

    assert [(p.title, p.anchor, p.body) for p in passages] == [
        ("The Manual", "", "First & foremost."),
        ("The Manual › Set up", "setup", "- one\n- two\n\na\n  b\n\nx | y"),  # noqa: RUF001
        ("The Manual › Later", "late", "end"),  # noqa: RUF001
    ]


def test_only_the_main_part_counts() -> None:
    """Where a page says which part is its content, the rest is left out."""
    (passage,) = read_html("/m.html", "<div>menu</div><main><p>content</p></main><div>cookies</div>")

    assert (passage.title, passage.body) == ("m", "content")


def test_entities_bring_in_nothing_invisible() -> None:
    """Control characters, bidi marks and halves of characters are removed however they are written."""
    (passage,) = read_html("/m.html", "<title>T&#x202e;</title><p>a&#2;b&#x200b;c&#xd800;d &lt;e&gt;")

    assert (passage.title, passage.body) == ("T", "abc\ufffdd <e>")


@pytest.mark.parametrize("text", ["", "<frameset></frameset>", "<script>x</script>", "<!-- x -->"])
def test_pages_without_text(text: str) -> None:
    """A page that shows nothing is skipped."""
    with pytest.raises(Unreadable, match="no text"):
        read_html("/m.html", text)


@pytest.mark.timeout(20)
def test_deep_nesting_is_refused() -> None:
    """Nesting that would keep the parser busy for minutes is found before it begins."""
    with pytest.raises(Unreadable, match="nested"):
        read_html("/m.html", "<div>" * 200_000)

    assert read_html("/m.html", "<i>" * (DEPTH_MAX // 2) + "deep")[0].body == "deep"


def test_many_unclosed_paragraphs_are_no_nesting() -> None:
    """Elements that the next one ends may be left open as often as one likes."""
    assert len(read_html("/m.html", "<p>word " * 20_000)) > 10
