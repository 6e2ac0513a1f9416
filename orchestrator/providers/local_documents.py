"""Documents as passages: a file of Markdown or text becomes titled pieces small enough to be an answer.

A passage belongs to one section, knows the headings above it and the anchor that leads back to it. Everything
here is linear in the size of the file, whatever is in it: a folder may hold files nobody wrote by hand.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import NamedTuple

PASSAGE_CHARS = 1_000
"""chosen: a passage ends at the next blank line from here on; about what a reader takes in at a glance."""

PASSAGE_CHARS_MAX = 2_000
"""chosen: a section up to this long stays whole; a longer passage would rank by its least interesting
part."""

PASSAGES_MAX = 20_000
"""chosen: forty times a long book; below the 65,536 that fit beside a document's number in a row id."""

TITLE_CHARS_MAX = 300
"""chosen: longer headings are paragraphs marked up by mistake."""

MARKDOWN = frozenset({".md", ".markdown"})
TEXT = frozenset({".txt", ".rst"})
HTML = frozenset({".html", ".htm"})
SUFFIXES = MARKDOWN | TEXT | HTML

CRUMB = " \u203a "
"""Between the parts of a title: a single right-pointing angle quotation mark."""

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
# The families of the Encoding Standard only: Python also decodes names like "unicode_escape" and "utf-7".
_CHARSET = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?((?:iso-8859|windows-|koi8|shift_jis|euc-|gb|big5)[\w-]{0,20})",
    re.IGNORECASE,
)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)")
_SETEXT = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_CUSTOM_ID = re.compile(r"\{#([^}\s]{1,100})\}$")
_MARKUP = (
    (re.compile(r"!?\[([^\]\n]*)\]\([^)\n]*\)"), r"\1"),
    (re.compile(r"^ {0,3}(?:```|~~~).*$|^[ \t]*\|?[ \t:|-]*---[ \t:|-]*$", re.MULTILINE), ""),
    (re.compile(r"^[ \t]*(?:#{1,6}|>)[ \t]+", re.MULTILINE), ""),
    (re.compile(r"\*\*|`"), ""),
)
_ADORNMENTS = frozenset("=-~^\"'`#*+.:_")


class Unreadable(Exception):
    """A file that is no document; the message is the reason, in words for the person who reads the report."""


class Section(NamedTuple):
    """A heading with the lines below it. `level` is 1 (outermost) to 6, 0 for what stands before any heading.

    `line` is the number of the first of `lines` in its file, from 1; 0 if the file has no lines worth naming.
    """

    level: int
    heading: str
    anchor: str
    lines: list[str]
    line: int = 0


class Passage(NamedTuple):
    """What is indexed and found. `title` is document and headings; `heading` the last of them as Markdown."""

    title: str
    body: str
    heading: str
    anchor: str


def decode(data: bytes) -> str:
    """The text of a file: by its byte order mark, what its HTML declares, UTF-8, or else Windows-1252.

    Windows-1252 stands in for Latin-1, as browsers do it. Control and invisible characters are removed, line
    ends are newlines. Raises Unreadable if it is binary.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = data.decode("utf-16", "replace")
    elif b"\0" in data:
        raise Unreadable("binary, not text")
    else:
        text = _decode_bytes(data)
    return clean(text.replace("\r\n", "\n").replace("\r", "\n"))


def clean(text: str) -> str:
    """The text without control characters (but tab and newline), invisible ones, and halves of characters."""
    return _INVISIBLE.sub("", text)


def _decode_bytes(data: bytes) -> str:
    declared = _CHARSET.search(data, 0, 1_024)
    for encoding in ("utf-8-sig", declared.group(1).decode() if declared else ""):
        try:
            return data.decode(encoding) if encoding else data.decode("cp1252", "replace")
        except (UnicodeError, LookupError):
            # Not that encoding, or one Python does not know: what follows reads anything.
            continue
    return data.decode("cp1252", "replace")


def plain(markdown: str) -> str:
    """Short Markdown without its marks, for titles and snippets; not for text without bound."""
    for pattern, replacement in _MARKUP:
        markdown = pattern.sub(replacement, markdown)
    return markdown


def passages(title: str, sections: Iterable[Section]) -> tuple[Passage, ...]:
    """All passages of a document, in its order. A document of headings only gives one, made of its title.

    Raises Unreadable if there is nothing to read or there are more than `PASSAGES_MAX`.
    """
    found: list[Passage] = []
    crumbs: list[tuple[int, str]] = []
    has_headings = False
    for section in sections:
        if section.level:
            has_headings = True
            crumbs = [
                *(crumb for crumb in crumbs if crumb[0] < section.level),
                (section.level, section.heading),
            ]
        name = _title(title, [heading for _, heading in crumbs])
        heading = f"{'#' * section.level} {section.heading}".strip()
        for line, body in _pieces(section):
            anchor = section.anchor or (f"L{line}" if line else "")
            found.append(Passage(name, body, heading, anchor))
        if len(found) > PASSAGES_MAX:
            raise Unreadable(f"more than {PASSAGES_MAX} passages")
    if not found and has_headings:
        found.append(Passage(title, title, "", ""))
    if not found:
        raise Unreadable("no text in it")
    return tuple(found)


def _title(title: str, crumbs: list[str]) -> str:
    below = crumbs[1:] if crumbs and crumbs[0] == title else crumbs
    return CRUMB.join(part for part in (title, *below) if part)[:TITLE_CHARS_MAX]


def _pieces(section: Section) -> Iterator[tuple[int, str]]:
    """The section whole, or cut at blank lines, with the number of the line each piece begins at."""
    is_long = sum(len(line) + 1 for line in section.lines) > PASSAGE_CHARS_MAX
    piece: list[str] = []
    size = 0
    start = section.line
    for number, whole_line in enumerate(section.lines, section.line):
        for line in _short_lines(whole_line) if is_long else [whole_line]:
            is_full = size + len(line) > PASSAGE_CHARS_MAX or (size >= PASSAGE_CHARS and not line.strip())
            if piece and is_long and is_full:
                yield start, "\n".join(piece).rstrip()
                piece, size = [], 0
            if line.strip() or piece:
                start = start if piece else number * bool(section.line)
                piece.append(line)
                size += len(line) + 1
    if piece:
        yield start, "\n".join(piece).rstrip()


def _short_lines(line: str) -> Iterator[str]:
    """A line in parts of at most `PASSAGE_CHARS_MAX`, cut between words if it has any."""
    begin = 0
    while len(line) - begin > PASSAGE_CHARS_MAX:
        end = line.rfind(" ", begin + 1, begin + PASSAGE_CHARS_MAX) + 1 or begin + PASSAGE_CHARS_MAX
        yield line[begin:end].rstrip()
        begin = end
    yield line[begin:]


def read_markdown(path: str, text: str) -> tuple[Passage, ...]:
    """The passages of a Markdown file, titled by its front matter, its first `#` heading or its name."""
    title, lines = _front_matter(_without_comments(text).split("\n"))
    sections = list(_markdown_sections(lines))
    first = next((section.heading for section in sections if section.level == 1), "")
    return passages(title or first or PurePath(path).stem, sections)


def _front_matter(lines: list[str]) -> tuple[str, list[str]]:
    """The title in the YAML block at the top, if there are such, and the lines without that block."""
    if lines[0].rstrip() != "---" or "---" not in (stripped := [line.rstrip() for line in lines[1:200]]):
        return "", lines
    end = stripped.index("---") + 1
    titles = [line.partition(":")[2].strip(" \t\"'") for line in lines[1:end] if line.startswith("title:")]
    # Blank lines in its place keep the numbers of the lines that follow.
    return (titles[0] if titles else "")[:TITLE_CHARS_MAX], [""] * (end + 1) + lines[end + 1 :]


def _without_comments(text: str) -> str:
    # By hand, because the pattern "<!--.*?-->" takes quadratic time on comments nobody closed.
    parts = []
    begin = 0
    while (start := text.find("<!--", begin)) >= 0 and (end := text.find("-->", start)) >= 0:
        parts += [text[begin:start], "\n" * text.count("\n", start, end)]
        begin = end + 3
    return "".join([*parts, text[begin:]])


def _markdown_sections(lines: list[str]) -> Iterator[Section]:
    """Cut at ATX (`## x`) and setext (underlined) headings; inside a fence nothing is a heading."""
    slugs: dict[str, int] = {}
    section = Section(0, "", "", [])
    fence = ""
    for line in lines:
        if fence:
            fence = "" if line.lstrip().startswith(fence) and not line.strip(" \t`~") else fence
            section.lines.append(line)
        elif mark := _FENCE.match(line):
            fence = mark.group(1)
            section.lines.append(line)
        elif mark := _ATX.match(line):
            yield section
            section = _markdown_section(len(mark.group(1)), line[mark.end() :], slugs)
        elif (mark := _SETEXT.match(line)) and section.lines and _can_be_heading(section.lines[-1]):
            heading = section.lines.pop()
            yield section
            section = _markdown_section(1 if mark.group(1)[0] == "=" else 2, heading, slugs)
        else:
            section.lines.append(line)
    yield section


def _can_be_heading(line: str) -> bool:
    return bool(line.strip()) and line.lstrip()[0] not in "|>-*+`~"


def _markdown_section(level: int, heading: str, slugs: dict[str, int]) -> Section:
    heading = heading.strip()[:TITLE_CHARS_MAX]
    if (bare := heading.rstrip("#")) != heading and (not bare or bare[-1] in " \t"):
        heading = bare.rstrip()
    custom = _CUSTOM_ID.search(heading)
    heading = plain(heading[: custom.start()] if custom else heading).strip()
    return Section(level, heading, custom.group(1) if custom else _slug(heading, slugs), [])


def _slug(heading: str, slugs: dict[str, int]) -> str:
    """The anchor GitHub and most renderers give a heading; a repeated one gets a number."""
    slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
    seen = slugs.get(slug, 0)
    slugs[slug] = seen + 1
    return f"{slug}-{seen}" if seen else slug


def read_text(path: str, text: str) -> tuple[Passage, ...]:
    """The passages of a plain text; anchors are line numbers (`L12`). The title is the file name."""
    return passages(PurePath(path).stem, [Section(0, "", "", text.split("\n"), 1)])


def read_rst(path: str, text: str) -> tuple[Passage, ...]:
    """The passages of a reStructuredText file, cut at its headings; their levels are their order of use."""
    sections = list(_rst_sections(text.split("\n")))
    title = next((section.heading for section in sections if section.level == 1), "")
    return passages(title or PurePath(path).stem, sections)


def _rst_sections(lines: list[str]) -> Iterator[Section]:
    styles: list[str] = []
    section = Section(0, "", "", [], 1)
    for number, line in enumerate(lines, 1):
        mark = _adornment(line)
        above = section.lines[-1] if section.lines else ""
        if mark and above.strip() and not _adornment(above) and len(line.rstrip()) >= len(above.rstrip()):
            heading = section.lines.pop().strip()[:TITLE_CHARS_MAX]
            if section.lines and _adornment(section.lines[-1]) == mark:
                section.lines.pop()  # the line over the heading belongs to it
            yield section
            if mark not in styles:
                styles.append(mark)
            anchor = re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")
            section = Section(min(styles.index(mark) + 1, 6), heading, anchor, [], number + 1)
        else:
            section.lines.append(line)
    yield section


def _adornment(line: str) -> str:
    """The punctuation a whole line of at least three consists of, `""` for any other line."""
    bare = line.rstrip()
    is_adornment = len(bare) >= 3 and bare[0] in _ADORNMENTS and bare == bare[0] * len(bare)
    return bare[0] if is_adornment else ""
