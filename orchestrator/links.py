"""Whether two links lead to the same page, as far as their spelling tells.

Search engines list a page more than once: over http and https, with and without `www.`, with the parameters
by which advertisers follow their readers. A caller who asked for five results wants five pages.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_DEFAULT_PORT = {"http": ":80", "https": ":443"}

_TRACKING = re.compile(
    r"(?i)(?:utm_[a-z0-9_]*|gclid|gbraid|wbraid|dclid|fbclid|msclkid|yclid|igshid|mc_[ce]id|_hsenc|_hsmi)"
    r"(?:=.*)?"
)
"""Parameters that say where a reader came from and change nothing on the page: those of the large
advertisers and mailers (documentation of Google, Meta, Microsoft, Yandex, Mailchimp and HubSpot, 2026)."""

_WITHIN_APP = re.compile(r"(?!:~:|page=)[^/=?!]*[/=?!]")
"""A fragment that names a page within an application: `#/…`, `#!…`, `#?…`, `#gid=…`, `#inbox/…`. An anchor, a
text that is searched for, and a sheet of a PDF are places on one page."""

_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")


def canonical_link(url: str) -> str:
    """The form in which URLs are compared; it is never shown or called. Raises ValueError for no URL.

    The same are: http and https, a host in any case, with or without `www.` and its scheme's port, a path
    with or without its last slash, a query with or without tracking parameters, any fragment on the web but
    one that names a page within an application, and an escape and what it stands for (RFC 3986, 6.2). The
    case of a path, and the order of parameters, can matter and are kept; so is the anchor in a file, which is
    how the local index names a passage.
    """
    parts = urlsplit(url)
    host = parts.netloc.lower().removesuffix(_DEFAULT_PORT.get(parts.scheme, ":")).rstrip(".")
    bare = host.removeprefix("www.")
    kept = [one for one in parts.query.split("&") if one and _TRACKING.fullmatch(one) is None]
    is_page = parts.scheme not in _DEFAULT_PORT or _WITHIN_APP.match(parts.fragment) is not None
    fragment = parts.fragment if is_page else ""
    return "".join(
        (
            "" if parts.scheme in _DEFAULT_PORT else f"{parts.scheme}:",
            bare if "." in bare else host,
            _plain_escapes(parts.path.rstrip("/")),
            "?" + _plain_escapes("&".join(kept)) if kept else "",
            "#" + fragment if fragment else "",
        )
    )


def _plain_escapes(text: str) -> str:
    """Escapes in capitals, and none where none is needed (RFC 3986, 6.2.2)."""
    return _ESCAPE.sub(_plain_escape, text) if "%" in text else text


def _plain_escape(found: re.Match[str]) -> str:
    char = chr(int(found[0][1:], 16))
    return char if _UNRESERVED.fullmatch(char) else found[0].upper()
