"""Pages that were fetched and are none: "Just a moment...", "Access Denied", "404 Not Found".

A site that does not want a fetcher answers it with a page of its own, often with status 200, and its text
then stands where the answer should be. Such a page is known by two signs together, its heading and its words;
one of them alone is no proof, since people write about error 404 and about captchas. Mistakes are not the
same on both sides: an error page too many is a bad result, an article too few is a lost one. So the list is
short and each entry was seen.
"""

from __future__ import annotations

import re
from typing import Final

ERROR_PAGE_CHARS_MAX = 1_000
"""chosen: the pages below have 20 to 600 characters; what is longer has a text of its own."""

_SERVER: Final = (
    r"(?:nginx|apache|openresty|cloudflare|microsoft-iis|litespeed|varnish)"
    r"(?:/[0-9a-z.-]{1,20})?(?: \([^)]{1,40}\))?(?: cache)?(?: server(?: at .{1,80})?)?$"
)
"""A server's name, version and address, and nothing after it: whoever writes about a server goes on."""

_SIGNATURES: Final = (
    # Cloudflare's challenge: "Just a moment..." / "Enable JavaScript and cookies to continue".
    (
        r"just a moment(?:\.\.\.|…)?",
        (
            r"enable javascript and cookies to continue|(?:verifying|verify|checking if) you are human"
            r"|checking your browser|review the security of your connection|security verification"
        ),
    ),
    # Cloudflare's block: "Attention Required! | Cloudflare" / "Sorry, you have been blocked".
    (
        r"(?:attention required!|please wait(?:\.\.\.|…)?) \| cloudflare",
        (
            r"you have been blocked|why have i been blocked|enable cookies|complete the security check"
            r"|one more step|checking your browser"
        ),
    ),
    # Akamai, PerimeterX, a bare 403: "Access Denied" / "You don't have permission to access … Reference #18".
    (
        r"access (?:to this page has been )?denied\.?|(?:error )?403(?: -)? forbidden|403 error",
        (
            r"you (?:don.?t|do not) have permission to access"
            r"(?: [\"\u201c]?(?:https?:|/)| this (?:page|resource|site|server)| .{1,200} on this server)"
            r"|press (?:&|and) hold"
            rf"|^{_SERVER}|requestid|errors\.edgesuite\.net"
        ),
    ),
    # A page that is gone: "404 Not Found" / "The requested URL was not found on this server."
    (
        (
            r"(?:(?:error )?404(?: error)?(?: -|:)? (?:page )?not found|page not found)"
            r"(?: [|\u2013\u2014-] .{1,60})?"
            r"|404 error|error 404|not found"
        ),
        (
            r"^(?:(?:404|not found|page not found|oops|(?:we.re )?sorry|but)[ .,:!]*)*"
            r"(?:the (?:requested )?(?:page|url|resource|content|document)\b.{0,80}?"
            r"(?:not (?:be )?found|can.?t be found|(?:does not|doesn.t|no longer) exists?)"
            rf"|{_SERVER}|we (?:couldn.t|could not|can.t|cannot) find)"
        ),
    ),
    # Captchas and bot checks: Imperva, Bloomberg, Amazon, DDoS-Guard, Google.
    (
        (
            r"robot check|(?:bloomberg - )?are you (?:a )?(?:human|robot)\?|(?:human|bot) verification"
            r"|security check(?:point)?|verify(?:ing)? you are (?:a )?human|ddos-guard"
            r"|pardon our interruption(?:\.\.\.|…)?|vercel security checkpoint"
        ),
        (
            r"(?:complete|solve|enter) the (?:captcha|characters)|not a robot|you are (?:a )?human"
            r"|unusual traffic|think you were a bot|(?:checking|verifying) your browser"
            r"|your browser supports javascript and cookies"
        ),
    ),
    # A server in trouble: "502 Bad Gateway" / "nginx".
    (
        (
            r"500 internal server error|502 bad gateway|503 service (?:temporarily )?unavailable"
            r"|504 gateway time-?out"
        ),
        rf"^{_SERVER}|^the server (?:is|encountered|returned|did not)",
    ),
    # DataDome and plain challenges whose only line says all.
    (
        r"(?:please )?enable (?:js|javascript) and (?:disable any ad blocker|cookies to continue)\.?",
        r"enable (?:js|javascript) and (?:disable any ad blocker|cookies to continue)",
    ),
)
"""Heading (the whole of it) and words (somewhere in the text, or at its begin with `^`), without case."""

_COMPILED = tuple((re.compile(heading), re.compile(words)) for heading, words in _SIGNATURES)
_MARKS = re.compile(r"(?:[\s#*=_>`]|-{2,})+")
"""Blanks and the marks of Markdown."""


def is_error_page(title: str, text: str) -> bool:
    """Whether heading and text are those of an error page or a challenge.

    Without a title the first line of the text is the heading. A heading of this kind above no text at all
    counts as well.
    """
    if len(text) > ERROR_PAGE_CHARS_MAX:
        return False
    heading = title.strip() or next((line for line in text.splitlines() if _MARKS.sub("", line)), "")
    heading = _MARKS.sub(" ", heading.lower()).strip()
    said = [words for known, words in _COMPILED if known.fullmatch(heading) is not None]
    if not said:
        return False
    text = _MARKS.sub(" ", text.lower()).strip()
    while text.startswith(heading):
        text = text.removeprefix(heading).strip()
    return not text or any(words.search(text) is not None for words in said)
