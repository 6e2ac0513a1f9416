"""From what a person typed to an FTS5 expression, and from a passage found to a snippet.

Nothing typed is ever syntax: every word goes into the expression as a quoted string. Scripts that do not put
spaces between words (Chinese, Japanese, Thai, …) are indexed letter by letter, with an invisible space
between, and a run of such letters is searched for as a phrase, or as its pairs of letters.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from orchestrator.providers.local_documents import plain

SNIPPET_CHARS = 500
"""chosen: the size of a provider's snippet; enough to judge a passage by, twenty fit in a model's prompt."""

WORDS_MAX = 64
"""chosen: a query has at most 400 characters; each word is a lookup in the index."""

WINDOWS_MAX = 50
"""chosen: places and words looked at for the best window; more would make a snippet cost more than the
search."""

LEAD_CHARS = 80
"""chosen: what stands before the first word found, where no sentence begins nearby."""

MATCH_START, MATCH_END = "\x02", "\x03"
"""Put around found words by the index; documents hold no control characters."""

_SPACE = "\u200b"
_UNSPACED_RANGES = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0edf\u1000-\u109f\u1780-\u17d3"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9f"  # CJK
    "\U00020000-\U0003ffff"
)
_UNSPACED = re.compile(f"[{_UNSPACED_RANGES}]")
_UNSPACED_RUN = re.compile(f"[{_UNSPACED_RANGES}]+")
_QUOTED = re.compile(r'"([^"]*)"')
_SENTENCE_ENDS = (". ", "! ", "? ", ": ", "; ", "\u3002", "\uff01", "\uff1f")
_SENTENCE_END = re.compile("|".join(map(re.escape, _SENTENCE_ENDS)))

# Words that hold English sentences together. They are left out unless the query has no others: a question is
# answered by the passage about its subject, not by the one that says "what is the" most often.
_ENGLISH = """
    a an and are as at be but by can did do does for from had has have how i if in into is it its me my no not
    of on or our should so than that the their them then there these they this to us was we were what when
    where which who why will with would you your
"""
_STOP_WORDS = frozenset(_ENGLISH.split())


class Query(NamedTuple):
    """Two expressions: passages with all the words, and with any of them (`""` if that is not wanted)."""

    every: str
    some: str


def parse(text: str, *, is_exact: bool = False) -> Query | None:
    """Read a query; `None` if there is no word in it.

    "Quoted words" stand together in the passages that have all; `is_exact` searches for nothing less.
    """
    phrases: list[str] = []
    loose: list[str] = []
    for position, part in enumerate(_QUOTED.split(unicodedata.normalize("NFC", text))):
        words = _words(part)
        loose += words
        # The pattern has one group, so every second part was in quotes.
        phrases += [" ".join(words)] if position % 2 and words else words
    telling = [word for word in phrases if word.casefold() not in _STOP_WORDS] or phrases
    if not telling:
        return None
    every = _expression(telling, " AND ")
    if is_exact:
        return Query(every, "")
    some = [piece for word in loose if word.casefold() not in _STOP_WORDS for piece in _pairs(word)] or loose
    return Query(every, _expression(some, " OR "))


def _words(text: str) -> list[str]:
    """Runs of letters, digits and the marks upon them, as the tokenizer of the index sees them."""
    letters = "".join(letter if _is_letter(letter) else " " for letter in text)
    return [word for word in letters.split() if any(letter.isalnum() for letter in word)]


def _is_letter(letter: str) -> bool:
    category = unicodedata.category(letter)
    return category[0] in "LN" or category in {"Mn", "Mc"}


def _pairs(word: str) -> list[str]:
    """The word itself; of a script without spaces its overlapping pairs, which stand in for words."""
    pieces = []
    for run in _UNSPACED_RUN.findall(word):
        pieces += [run[begin : begin + 2] for begin in range(max(len(run) - 1, 1))]
    return pieces + _UNSPACED_RUN.sub(" ", word).split()


def _expression(words: list[str], operator: str) -> str:
    """The words as quoted strings, each once. Words hold no quotation marks, so nothing needs escaping."""
    distinct = dict.fromkeys(words)
    return operator.join(f'"{spaced(word)}"' for word in list(distinct)[:WORDS_MAX])


def spaced(text: str) -> str:
    """The text as it is indexed: each letter of a script without spaces is a word of its own."""
    return _UNSPACED.sub(rf"{_SPACE}\g<0>{_SPACE}", text)


def unspaced(text: str) -> str:
    """The text as it was written."""
    return text.replace(_SPACE, "")


def snippet(marked: str) -> str:
    """The best part of a passage, at most `SNIPPET_CHARS` long: that with most of the words found.

    `marked` is the passage with `MATCH_START` and `MATCH_END` around these words. It begins at a sentence
    where one is near, else with an ellipsis, and is one line without Markdown's marks.
    """
    first, *others = " ".join(plain(marked).split()).split(MATCH_START)
    text = first.replace(MATCH_END, "")
    matches: list[tuple[int, str]] = []
    for other in others:
        matches.append((len(text), other.partition(MATCH_END)[0].casefold()))
        text += other.replace(MATCH_END, "")
    return text if len(text) <= SNIPPET_CHARS else _cut(text, _best_start(text, matches))


def _best_start(text: str, matches: list[tuple[int, str]]) -> int:
    """Where the window with the most distinct words, then the most words, begins; the earliest of equals."""
    matches = matches[:WINDOWS_MAX]
    sentences = [0, *(mark.end() for mark in _SENTENCE_END.finditer(text))][:WINDOWS_MAX]
    # A start within a sentence comes later, so it counts only if it sees more than every sentence's does.
    starts = sentences + [text.rfind(" ", 0, max(position - LEAD_CHARS, 0)) + 1 for position, _ in matches]

    def worth(start: int) -> tuple[int, int]:
        last = start + SNIPPET_CHARS - 2  # without the ellipses
        seen = [word for position, word in matches if start <= position <= last - len(word)]
        return len(set(seen)), len(seen)

    return max(starts, key=worth)


def _cut(text: str, start: int) -> str:
    """The window from `start`, ended between words; an ellipsis shows where text was left out."""
    lead = "" if start == 0 or text[:start].endswith(_SENTENCE_ENDS) else "…"
    room = SNIPPET_CHARS - len(lead)
    if len(text) - start <= room:
        return lead + text[start:]
    part = text[start : start + room - 1]
    space = part.rfind(" ")
    return f"{lead}{part[:space] if space > room // 2 else part}…"
