"""What `fetch` takes for the id of a page: an id of a result of `search`, or the URL of any result.

An id is the URL with a checksum, so that any instance understands it without having seen the search; the
checksum tells an id that a model has shortened or made up from a page that is gone. It grants nothing: what
may be read is decided behind the door, as for every URL.
"""

from __future__ import annotations

import base64
import binascii
import zlib

from orchestrator.errors import InvalidRequest

ID_PREFIX = "page-"
"""chosen: shows a person that an id is one of ours; a model copies it like any other."""

WEB_SCHEMES = ("http://", "https://")


def page_id(url: str) -> str:
    """An id for `fetch` that any instance understands: the URL with a checksum, not to be read by people."""
    raw = url.encode()
    return ID_PREFIX + base64.urlsafe_b64encode(_checksum(raw) + raw).rstrip(b"=").decode()


def page_url(given: str) -> str:
    """The URL behind an id, or the URL itself. Raises InvalidRequest, which says what to do, for neither.

    Results of `web_search` have no id but their URL, and models pass that; white space around it, which they
    copy along, is nobody's.
    """
    given = given.strip()
    if given[: len(WEB_SCHEMES[-1])].lower().startswith(WEB_SCHEMES):
        return given
    try:
        coded = given.removeprefix(ID_PREFIX).encode("ascii")
        raw = base64.b64decode(coded + b"=" * (-len(coded) % 4), altchars=b"-_", validate=True)
        url = raw[4:].decode()
    except (UnicodeError, binascii.Error) as error:
        raise _not_ours() from error
    if not given.startswith(ID_PREFIX) or raw[:4] != _checksum(raw[4:]):
        raise _not_ours()
    if not url.startswith(WEB_SCHEMES):
        raise InvalidRequest(
            "id: This is a document of the gateway's own folders, which is not fetched by itself: "
            "web_search with include_raw_content true gives its text.",
            field="id",
        )
    return url


def _not_ours() -> InvalidRequest:
    return InvalidRequest(
        "id: This is no id of a result of the tool search, or not all of it. Copy an id from there, "
        "or give the URL of a page, beginning with https://.",
        field="id",
    )


def _checksum(raw: bytes) -> bytes:
    return zlib.crc32(raw).to_bytes(4, "big")
