"""Checks of single values, whatever request they stand in."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from orchestrator import limits
from orchestrator.addresses import is_public_host
from orchestrator.errors import InvalidRequest
from orchestrator.sanitise import visible

KEPT_AS_BLANK = str.maketrans(dict.fromkeys("\t\n\r\v\f\x85\u2028\u2029", " "))
"""Characters that end a line or a cell: what they part stays apart."""


def clean_text(text: str) -> str:
    """The text without control, bidi and invisible characters; line ends become blanks, it is trimmed."""
    if not (text.isascii() and text.isprintable()):
        text = visible(text.translate(KEPT_AS_BLANK))
    return text.strip()


def check_choice(field: str, value: object, choices: Sequence[object]) -> None:
    """Refuse what is none of the choices; `None` is not given. Raises InvalidRequest naming the field."""
    if value is not None and value not in choices:
        known = ", ".join(
            str(choice).lower() if isinstance(choice, bool) else f"'{choice}'" for choice in choices
        )
        raise InvalidRequest(f"{field}: Invalid value. Must be one of {known}.", field=field)


def check_url(place: str, url: str, *, field: str) -> None:
    """Refuse what is no address on the public internet, by its spelling. Raises InvalidRequest."""
    if len(url) > limits.URL_CHARS_MAX:
        raise InvalidRequest(
            f"{place}: The URL is longer than {limits.URL_CHARS_MAX} characters.", field=field
        )
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if clean_text(url) != url or not host or " " in host or parts.scheme not in ("http", "https"):
        raise InvalidRequest(f"{place}: Not an http or https URL.", field=field)
    if parts.username is not None or parts.password is not None:
        raise InvalidRequest(f"{place}: A URL with a user name or password is not accepted.", field=field)
    if not is_public_host(host):
        raise InvalidRequest(f"{place}: The address is not on the public internet.", field=field)
