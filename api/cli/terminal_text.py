"""Makes text of strangers harmless on a terminal: a page title must not move the cursor or reverse the line.

Control characters, among them the ESC that begins every terminal sequence, become U+FFFD, so that an attempt
stays visible. Characters that reorder text or cannot be seen are dropped. ZWJ and ZWNJ stay: Persian, the
scripts of India and emoji are read differently without them, and they change nothing but the letters beside
them.
"""

from __future__ import annotations

import re

_INVISIBLE = (
    "\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0e"
    "\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff"
)
# str.isprintable() would not do: it refuses the ideographic space and takes some of the invisible ones.
_CONTROL = "\x00-\x1f\x7f-\x9f\ud800-\udfff"

_WHITE_SPACE = re.compile(r"[\s\u2028\u2029\x85]+")
_DROPPED = re.compile(f"[{_INVISIBLE}]")
_REPLACED = re.compile(f"[{_CONTROL}]")
_UNSAFE_IN_JSON = re.compile(f"[{_INVISIBLE}\x7f-\x9f\u2028\u2029]")

_LINKABLE = re.compile(r"(?:https?|file)://[!-~]+")


def one_line(text: str) -> str:
    """The text on one line, white space collapsed, with nothing in it that a terminal would obey."""
    return _harmless(_WHITE_SPACE.sub(" ", text)).strip()


def many_lines(text: str) -> str:
    """The same with its line breaks and tabs kept; for whole pages."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(map(_harmless, line.split("\t"))) for line in lines)


def _harmless(text: str) -> str:
    return _REPLACED.sub("\ufffd", _DROPPED.sub("", text))


def link_target(url: str) -> str | None:
    """The URL if it may be made clickable, else `None`: a terminal gets it inside an escape sequence."""
    return url if _LINKABLE.fullmatch(url) else None


def json_for_terminal(text: str) -> str:
    """The same JSON with every unsafe character as its escape: equal for a parser, harmless for a person."""
    return _UNSAFE_IN_JSON.sub(lambda match: _escape(match[0]), text)


def _escape(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
