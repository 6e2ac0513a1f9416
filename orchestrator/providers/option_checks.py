"""What the options of a provider may hold: addresses, headers, names of secrets.

Pure. Secrets are named, never written: `{secret:linear}` in a header or in the URL stands for the secret of
that name. A header that looks as if it held one and names none is refused, because options are shown and
recorded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import quote, urlsplit

from orchestrator.errors import InvalidRequest
from orchestrator.ports import ProviderTiming

SECRET = re.compile(r"\{secret:([A-Za-z0-9_.-]{1,64})\}")
"""How a secret is named."""

HEADERS_MAX = 16
"""chosen: headers of an operator's own; servers want one or two."""

HEADER_CHARS_MAX = 4_096
"""chosen: of one header with its secrets in it; a long token has about 2,000."""

SECONDS_MAX = 60.0
"""chosen: as long as any upstream may take."""

_OURS = re.compile(
    r"(?i)accept(-.*)?|content-.*|host|connection|transfer-encoding|te|trailer|upgrade|keep-alive|expect"
    r"|mcp-.*|amos-.*|traceparent|proxy-.*|via|forwarded|x-forwarded-.*|user-agent"
)
_SECRETIVE = re.compile(r"(?i)authorization|cookie|.*(key|token|secret|password|credential).*")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}")
_VALUE = re.compile(r"[\x20-\x7e]*")


def bad(option: str, words: str) -> InvalidRequest:
    """The refusal of an option; no words repeat a value."""
    return InvalidRequest(f"options: {option} {words}.", field=f"options.{option}")


def check_range(option: str, value: float, least: float, most: float) -> None:
    """Raises InvalidRequest for a number out of bounds, NaN too."""
    if not least <= value <= most:
        raise bad(option, f"must be {least:g} to {most:g}")


def check_url(url: str) -> None:
    """Raises InvalidRequest for what is no http or https address, or has a user name in it or a fragment.

    Private addresses are the operator's choice: an engine of one's own stands there.
    """
    words = "must be an http or https address without user name and fragment"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise bad("url", words) from error
    is_good = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    if not is_good or "#" in url or len(url) > 2_048 or re.search(r"[^\x21-\x7e]", url):
        raise bad("url", words)
    if re.search(r"(?i)[?&][^=]*(key|token|secret|password)[^=]*=(?!\{secret:)", url):
        raise bad("url", "seems to hold a secret; write {secret:NAME} in its place and set that secret")


def check_headers(headers: Mapping[str, str]) -> None:
    """Raises InvalidRequest for headers that are ours to set, cannot be sent, or hold a secret."""
    if len(headers) > HEADERS_MAX:
        raise bad("headers", f"must be at most {HEADERS_MAX}")
    if len({name.lower() for name in headers}) < len(headers):
        raise bad("headers", "must have each name once")
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value) or len(value) > HEADER_CHARS_MAX:
            raise bad("headers", "must be names and values of visible ASCII characters")
        if _OURS.fullmatch(name):
            raise bad("headers", f"must not set {name}, which AMOS sets itself")
        if _SECRETIVE.fullmatch(name) and not SECRET.search(value):
            raise bad(
                "headers", f"must not hold the secret of {name}; write {{secret:NAME}} and set that secret"
            )


def missing_secret(values: list[str], secret: Callable[[str], str | None]) -> str:
    """What is wrong with the secrets that these values name, in words for the operator; `""` if nothing."""
    for name in (name for value in values for name in SECRET.findall(value)):
        found = secret(name)
        if not found:
            return f"AMOS_PROVIDER_SECRETS has no {name}."
        if not _VALUE.fullmatch(found) or len(found) > HEADER_CHARS_MAX:
            return f"The secret {name} in AMOS_PROVIDER_SECRETS cannot be sent in a header."
    return ""


def with_secrets(value: str, secret: Callable[[str], str | None], *, is_url: bool = False) -> str:
    """The value with its secrets in it; `missing_secret` has said that they are there."""

    def found(match: re.Match[str]) -> str:
        text = secret(match[1]) or ""
        return quote(text, safe="") if is_url else text

    return SECRET.sub(found, value)


def timing_of(limit_s: float | None) -> ProviderTiming | None:
    """The times of a provider that has a limit of its own, `None` if it has none."""
    return None if limit_s is None else ProviderTiming(search_s=limit_s, search_advanced_s=limit_s)
