"""Makes text that strangers wrote harmless: no characters that deceive or hide, no markup that acts.

Results come from the whole web and end in front of people and language models. What is taken away:

- control characters, but for tab and line feed;
- characters without a shape of their own that change how others are read or hide text from the eye: bidi
  overrides and isolates, zero-width and other invisible characters, tags (U+E0000), surrogates, private use;
- HTML: all of it from titles and snippets, from pages only what acts (scripts, styles, frames, handlers).

What stays: letters that look alike, since which of them deceives depends on the reader's language; the
joiners of emoji and of scripts that need them (Persian, Hindi), between two characters they can join; one
variation selector after a character that has variants; `List<int>` and `a < b`, which are no markup.

Everything here is pure, takes any string, raises nothing, takes linear time, and is idempotent.
"""

from __future__ import annotations

import html
import re
from typing import Final

import nh3

_EMOJI: Final = "\u00a9\u00ae\u203c\u2049\u2122-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
"""Characters that are emoji or next to them in Unicode's blocks; generous, since all are visible."""

_JOINING: Final = (
    "\u0620-\u06dc\u06de-\u070e\u0710-\u088f\u0898-\u08e1\u08e3-\u109f\u1780-\u17b3\u17b6-\u180a\u1820-\u18af"
    "\ua840-\ua8ff\ua980-\uaaff\ufb50-\ufdcf\ufdf0-\ufdff\ufe70-\ufefc\U00010a00-\U00011fff"
)
"""Scripts in which U+200C and U+200D shape their neighbours: Arabic, Indic, Mongolian and others."""

_HIDDEN: Final = (
    # Controls, the soft hyphen, bidi marks, fillers, joiners of nothing; \t and \n are text.
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160"
    "\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    # Surrogates, private use, what is no character.
    "\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufe00-\ufe0d\ufffe\uffff"
)

_HIDDEN_BEYOND: Final = (
    # Signs and controls of scripts and music, tags and further variation selectors, private planes.
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff\U000f0000-\U0010ffff"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0x10000, 0xF0000, 0x10000))
)

_INVISIBLE = re.compile(
    f"[{_HIDDEN}{_HIDDEN_BEYOND}]+"
    f"|(?<![{_EMOJI}0-9#*])[\ufe0e\ufe0f]"
    # A joiner stays between two characters it joins; an emoji may have its variation selector before it.
    f"|\u200d(?!(?:(?<=[{_EMOJI}]\u200d)|(?<=[{_EMOJI}]\ufe0f\u200d))[{_EMOJI}]"
    f"|(?<=[{_JOINING}]\u200d)[{_JOINING}])"
    f"|\u200c(?!(?<=[{_JOINING}]\u200c)[{_JOINING}])"
)
_SUSPICIOUS = re.compile(f"[{_HIDDEN}\u200c\u200d\ufe0e\ufe0f\U00010000-\U0010ffff]")
"""Finds out fast that there is nothing to do: one table for the first plane, and anything beyond it."""

_ASCII_CONTROLS: Final = bytes({*range(32), 127} - {9, 10, 11, 12, 13})
_ASCII_LINE_ENDS: Final = bytes.maketrans(b"\r\x0b\x0c", b"\n\n\n")
_LINE_ENDS = str.maketrans(
    {"\r": "\n", "\x0b": "\n", "\x0c": "\n", "\x85": "\n", "\u2028": "\n", "\u2029": "\n"}
)

_TAGS: Final = (
    "a|abbr|acronym|address|applet|area|article|aside|audio|b|base|basefont|bdi|bdo|bgsound|big|blink|blockquote"
    "|body|br|button|canvas|caption|center|cite|code|col|colgroup|data|datalist|dd|del|details|dfn|dialog|dir|div"
    "|dl|dt|em|embed|fieldset|figcaption|figure|font|footer|form|frame|frameset|h[1-6]|head|header|hgroup|hr|html"
    "|i|iframe|image|img|input|ins|isindex|kbd|keygen|label|legend|li|link|listing|main|map|mark|marquee|math"
    "|menu|menuitem|meta|meter|multicol|nav|nextid|nobr|noembed|noframes|noscript|object|ol|optgroup|option|output"
    "|p|param|picture|plaintext|pre|progress|q|rb|rp|rt|rtc|ruby|s|samp|script|search|section|select|slot|small"
    "|source|spacer|span|strike|strong|style|sub|summary|sup|svg|table|tbody|td|template|textarea|tfoot|th|thead"
    "|time|title|tr|track|tt|u|ul|var|video|wbr|xmp"
)
"""The elements of HTML, those that are obsolete included."""

_TAG = rf"</?(?:{_TAGS})(?=[\s/>]|\Z)|<[!?]|</?[a-z][^<>]*=[^<>]*>"
_MARKUP = re.compile(rf"(?i){_TAG}|&(?:#x?[0-9a-f]{{1,8}}|[a-z][a-z0-9]{{1,31}});")
_BEGINNING = re.compile(rf"(?i){_TAG}")
_NO_TAG = re.compile(rf"(?i)<(?!(?<=<)(?:/?(?:{_TAGS})(?=[\s/>]|\Z)|[!?]|/?[a-z][^<>]*=[^<>]*>))")
_BLOCK = re.compile(
    r"(?i)(?=</?(?:p|div|br|li|ul|ol|tr|td|th|dd|dt|h[1-6]|table|section|article|blockquote)[\s/>])"
)

ROUNDS_MAX = 4
"""chosen: markup that hides in entities of entities more often is no text; it loses its `<` and `&`."""

_ACTING: Final = (
    "script|style|iframe|frame|frameset|object|embed|applet|svg|math|form|link|meta|base|template|noscript"
)
_ACTIVE = re.compile(rf"(?i)<(?P<end>/?)(?P<name>{_ACTING})(?=[\s/>]|\Z)[^<>]*>?|<[a-z][^<>]*=[^<>]*>")
_ENDS = re.compile(rf"(?i)</(?P<name>{_ACTING})(?=[\s/>]|\Z)[^<>]*>?")
_HANDLER = re.compile(r"(?i)[\s/\"'](?:on[a-z]+|srcdoc|formaction)\s*=")
_SCHEME = re.compile(r"(?i)(?:java|vb)script:|data:text/html")
_LINK_THAT_ACTS = re.compile(r"\]\(\s*(?i:(?:java|vb)script:|data:text/html)")
_BLANKS = re.compile(r"\s+")


def visible(text: str) -> str:
    """The text without characters that hide or deceive; line ends become line feeds."""
    if text.isascii():
        if text.isprintable():
            return text
        text = text.replace("\r\n", "\n")
        return text.encode().translate(_ASCII_LINE_ENDS, _ASCII_CONTROLS).decode()
    if _SUSPICIOUS.search(text) is None:
        return text
    return _INVISIBLE.sub("", text.replace("\r\n", "\n").translate(_LINE_ENDS))


def plain(text: str, chars_max: int) -> str:
    """The visible text of a title or a snippet, without markup, at most so long."""
    # Markup may take as much room again; what is longer is cut before it costs time.
    text = visible(text[: 2 * chars_max])
    for _ in range(ROUNDS_MAX):
        if _MARKUP.search(text) is not None:
            text = visible(_without_markup(text))
        elif len(text) > chars_max:
            text = visible(text[:chars_max])  # which can end in the middle of what only now looks like markup
        else:
            return text
    return visible(text.replace("<", "").replace("&", "")[:chars_max])


def page(text: str, chars_max: int) -> str:
    """The visible text of a page, in Markdown or HTML, without what acts, at most so long."""
    text = visible(text[:chars_max])
    for _ in range(ROUNDS_MAX):
        calmer = _LINK_THAT_ACTS.sub("](#", _without_acts(text))
        if calmer == text:
            return text
        text = visible(calmer)
    return text.replace("<", "")


def _without_markup(text: str) -> str:
    if _BEGINNING.search(text) is None:
        return _unescaped(text)
    # What no tag follows is a sign and no beginning of one; nor is one that is never closed.
    closed = text.rfind(">") + 1
    text = _NO_TAG.sub("&lt;", text[:closed]) + text[closed:].replace("<", "&lt;" if closed else "")
    text = _BLOCK.sub(" ", text)
    return html.unescape(nh3.clean(text, tags=set(), attributes={}))


def _unescaped(text: str) -> str:
    return _MARKUP.sub(lambda found: html.unescape(found[0]), text)


def _without_acts(text: str) -> str:
    """One pass from left to right; an element that acts goes with its content, if it ends somewhere."""
    if "<" not in text:
        return text
    last_ends = {found["name"].lower(): found.start() for found in _ENDS.finditer(text)}
    kept: list[str] = []
    position = 0
    while (found := _ACTIVE.search(text, position)) is not None:
        kept.append(text[position : found.start()])
        position = found.end()
        name = (found["name"] or "").lower()
        if not name:
            if not _acts(found[0]):
                kept.append(found[0])
        elif not found["end"] and last_ends.get(name, -1) >= position:
            end = next(end for end in _ENDS.finditer(text, position) if end["name"].lower() == name)
            position = end.end()
    kept.append(text[position:])
    return "".join(kept)


def _acts(tag: str) -> bool:
    """Whether a tag with attributes runs something: browsers read entities, and skip blanks in a scheme."""
    tag = html.unescape(tag)
    return _HANDLER.search(tag) is not None or _SCHEME.search(_BLANKS.sub("", tag)) is not None
