"""What an API key is: how it is spelled, what is kept of it, and who holds it.

    amos_live_<12: key id>_<30: secret><6: checksum>

All parts are base62 digits (0-9 A-Z a-z). The checksum is the CRC-32 of everything before it, so a key that
was cut, mistyped or made up is known as such without asking anybody, and scanners of source code can tell a
key from a word: `PATTERN` is published in docs/keys.md.

Of a key only `digest` is kept: HMAC-SHA-256 under a pepper that is not in the database. Slow hashes are for
passwords; 30 random digits are 178 bits, and nobody tries those out.
"""

from __future__ import annotations

import hmac
import re
import secrets
import zlib
from collections.abc import Iterable

import msgspec

from orchestrator.errors import InvalidRequest
from orchestrator.principals import OwnLimits

PREFIX = "amos_live_"

PATTERN = r"amos_live_[0-9A-Za-z]{12}_[0-9A-Za-z]{36}"
"""Finds keys in text; the last six digits tell whether it is one."""

ID_CHARS = 12
"""chosen: 71 bits, so that no two keys meet by chance."""

SECRET_CHARS = 30
"""As GitHub's tokens have: 178 bits."""

CHECKSUM_CHARS = 6
"""62^6 is the first power of 62 that holds every CRC-32."""

SCOPES = ("search", "extract", "refresh", "reports", "admin")
"""What a key may do: the two operations, pass the cache by, see everybody's figures, manage keys and more."""

SCOPES_DEFAULT = ("search", "extract")
"""What a key may do unless it is said otherwise: what clients of a search service expect."""

CLIENT_CHARS_MAX = 64
"""chosen: a client is a name in reports, not a description."""

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY = re.compile(PATTERN)
_CLIENT = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._@-]{{0,{CLIENT_CHARS_MAX - 1}}}")
_RESERVED = frozenset({"local", "anonymous"})


class MalformedKey(ValueError):
    """The text is no key of ours. `reason` is `malformed_key` or `bad_checksum`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is kept: everything but the key itself. Moments are epoch seconds.

    `expires_at` `None` never ends; `replaces` is the id of the key it was made to take the place of;
    `last_used_at` is coarse (a minute) and `None` while it was never used; `limits` `None` are everybody's.
    """

    id: str
    digest: str
    client: str
    scopes: tuple[str, ...]
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    replaces: str | None = None
    last_used_at: float | None = None
    limits: OwnLimits | None = None

    def __repr__(self) -> str:
        """Without the digest: a repr ends up in logs."""
        return f"ApiKey(id={self.id!r}, client={self.client!r}, scopes={self.scopes!r})"

    def is_live(self, now: float) -> bool:
        """Whether it opens the door at `now`."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def generate() -> str:
    """A new key, which is nobody's yet."""
    key_id, secret = _random(ID_CHARS), _random(SECRET_CHARS)
    body = f"{PREFIX}{key_id}_{secret}"
    return body + checksum(body)


def id_of(raw: str) -> str:
    """The key id within a key, if it is one by its form and checksum. Raises MalformedKey."""
    if _KEY.fullmatch(raw) is None:
        raise MalformedKey("malformed_key")
    body, digits = raw[:-CHECKSUM_CHARS], raw[-CHECKSUM_CHARS:]
    if checksum(body) != digits:
        raise MalformedKey("bad_checksum")
    return raw[len(PREFIX) : len(PREFIX) + ID_CHARS]


def checksum(body: str) -> str:
    """The CRC-32 of the text as six base62 digits, most significant first."""
    rest, digits = zlib.crc32(body.encode("ascii")), ""
    for _ in range(CHECKSUM_CHARS):
        rest, digit = divmod(rest, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits


def digest(pepper: bytes, raw: str) -> str:
    """What is kept of a key, as 64 hex digits."""
    return hmac.digest(pepper, raw.encode("ascii"), "sha256").hex()


def valid_client(name: str) -> str:
    """The name of a client. Raises InvalidRequest."""
    if _CLIENT.fullmatch(name) is None:
        raise InvalidRequest(
            f"client: expected 1 to {CLIENT_CHARS_MAX} letters, digits and . _ @ -, the first no sign.",
            field="client",
        )
    if name.lower().startswith(PREFIX):
        raise InvalidRequest("client: expected a name; this looks like a key.", field="client")
    if name.lower() in _RESERVED:
        raise InvalidRequest(
            "client: this name means somebody without a key; choose another.", field="client"
        )
    return name


def valid_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """The scopes, each once, in the order of `SCOPES`. Raises InvalidRequest."""
    wanted = set(scopes)
    if not wanted:
        raise InvalidRequest("scopes: a key that may do nothing is of no use.", field="scopes")
    if not wanted <= set(SCOPES):
        raise InvalidRequest(f"scopes: expected some of {', '.join(SCOPES)}.", field="scopes")
    return tuple(scope for scope in SCOPES if scope in wanted)


def _random(count: int) -> str:
    return "".join(secrets.choice(_DIGITS) for _ in range(count))
