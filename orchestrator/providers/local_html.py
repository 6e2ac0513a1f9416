"""HTML documents as passages: the text of the page without its machinery, cut at the headings.

What a browser would not show as content (scripts, styles, navigation, forms) is dropped. selectolax parses
like a browser does, so no markup is too broken; it is only kept from markup that would take it minutes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePath

from selectolax.lexbor import LexborHTMLParser, LexborNode

from orchestrator.providers.local_documents import (
    TITLE_CHARS_MAX,
    Passage,
    Section,
    Unreadable,
    clean,
    passages,
)

DEPTH_MAX = 5_000
"""measured: 200,000 nested elements take the parser 165 s (it is quadratic), 5,000 take 35 ms."""

_NOISE_NAMES = """
    script style noscript template nav aside footer form button select iframe svg math canvas object audio
    video
"""
_BLOCK_NAMES = """
    address article blockquote dd details div dl dt fieldset figcaption figure header hr main ol p pre section
    summary table ul
"""
# Void elements, and those the parser closes by itself when the next one begins.
_SHALLOW_NAMES = """
    area base br col embed hr img input link meta param source track wbr p li dt dd tr td th thead tbody tfoot
    colgroup
"""
_NOISE = frozenset(_NOISE_NAMES.split())
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_SHALLOW = frozenset(_SHALLOW_NAMES.split())
_LINES = frozenset({"br", "tr", "li"})
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,30})")


def read_html(path: str, text: str) -> tuple[Passage, ...]:
    """The passages of a page; its title is `<title>`, the first `<h1>`, or the file name.

    Raises Unreadable if it is nested beyond `DEPTH_MAX`, or as `passages` does.
    """
    if _is_too_deep(text):
        raise Unreadable(f"HTML nested more than {DEPTH_MAX} deep")
    tree = LexborHTMLParser(text)
    sections = list(_sections(tree))
    titles = [_one_line(node.text()) for node in tree.css("head > title")[:1]]
    titles += [section.heading for section in sections if section.level == 1]
    return passages(next(filter(None, titles), "") or PurePath(path).stem, sections)


def _is_too_deep(text: str) -> bool:
    """Whether more elements than `DEPTH_MAX` seem to be open at once: tags counted, not parsed.

    That finds what generators gone wrong produce. Markup made to deceive it only costs the indexing thread
    time.
    """
    open_count: Counter[str] = Counter()
    depth = 0
    for mark in _TAG.finditer(text):
        name = mark.group(2).lower()
        if name in _SHALLOW:
            continue
        if not mark.group(1):
            open_count[name] += 1
            depth += 1
        elif open_count[name]:
            open_count[name] -= 1
            depth -= 1
        if depth > DEPTH_MAX:
            return True
    return False


def _sections(tree: LexborHTMLParser) -> Iterator[Section]:
    mains = tree.css("main, [role=main]")
    root = mains[0] if len(mains) == 1 else tree.body
    if root is None:
        return
    level, heading, anchor = 0, "", ""
    text = _Text()
    for node, is_start in _walk(root):
        tag = node.tag or ""
        if tag in _HEADINGS and is_start:
            yield Section(level, heading, anchor, text.lines())
            level, heading, anchor = _HEADINGS[tag], _one_line(node.text()), _anchor(node)
            text = _Text()
        elif is_start:
            text.enter(node, tag)
        else:
            text.leave(tag)
    yield Section(level, heading, anchor, text.lines())


def _walk(root: LexborNode) -> Iterator[tuple[LexborNode, bool]]:
    """Every node at its start and at its end, without noise and without what is inside a heading.

    A loop and not a recursion: the depth of a page is the page's choice.
    """
    node: LexborNode | None = root
    path: list[LexborNode] = []
    while node is not None:
        tag = node.tag or ""
        child = None
        if tag not in _NOISE and not node.is_comment_node:
            yield node, True
            child = None if tag in _HEADINGS else node.first_child
        if child is not None:
            path.append(node)
            node = child
            continue
        if path:
            node = node.next
        while node is None and path:
            parent = path.pop()
            yield parent, False
            node = parent.next if path else None
        if not path:
            return


def _anchor(heading: LexborNode) -> str:
    """The id of the heading, of a link within it, or of the section it opens."""
    own = heading.attributes.get("id")
    if own:
        return own
    for link in heading.css("a[id], a[name]")[:1]:
        return link.attributes.get("id") or link.attributes.get("name") or ""
    parent = heading.parent
    is_section = parent is not None and parent.tag in {"section", "article", "div"}
    return (parent.attributes.get("id") or "") if parent is not None and is_section else ""


def _one_line(text: str) -> str:
    # The pilcrow is the permanent link that documentation tools append to a heading.
    return " ".join(clean(text).split())[:TITLE_CHARS_MAX].removesuffix("¶").rstrip()


class _Text:
    """Collects text as a browser would lay it out.

    Blocks stand on lines of their own; white space is as in the source only within `<pre>`.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._pre_depth = 0

    def enter(self, node: LexborNode, tag: str) -> None:
        """Take the start of an element, or a text."""
        if node.is_text_node:
            self._add(clean(node.text_content or ""))  # entities may stand for anything
        elif tag in _BLOCKS:
            self._pre_depth += tag == "pre"
            self._parts.append("\n\n")
        elif tag in _LINES:
            self._parts.append("\n- " if tag == "li" else "\n")
        elif tag in {"td", "th"} and self._parts and not self._parts[-1].endswith("\n"):
            self._parts.append(" | ")

    def leave(self, tag: str) -> None:
        """Take the end of an element."""
        if tag in _BLOCKS:
            self._pre_depth -= tag == "pre"
            self._parts.append("\n\n")

    def _add(self, text: str) -> None:
        if not self._pre_depth:
            is_line_start = not self._parts or self._parts[-1].endswith("\n")
            text = re.sub(r"\s+", " ", text)
            text = text.lstrip() if is_line_start else text
        if text:
            self._parts.append(text)

    def lines(self) -> list[str]:
        """What was collected, without the blank lines at the end and more than one in a row."""
        lines: list[str] = []
        for raw in "".join(self._parts).split("\n"):
            line = raw.rstrip()
            if line or (lines and lines[-1]):
                lines.append(line)
        return lines
