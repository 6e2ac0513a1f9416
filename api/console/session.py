"""The session of a browser: a cookie that names an API key, for some hours, under a seal of ours.

The cookie holds no secret of the key's holder: the id of the key, when the session ends, and an HMAC under a
secret that is derived from the pepper. Every instance and worker that knows the pepper knows the session, so
nothing is stored. Each request looks the key up again, hence a session ends with its key: revoked here means
refused everywhere within five seconds.
"""

from __future__ import annotations

import hmac
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SESSION_S_MAX = 8 * 3_600.0
"""chosen: a working day; whoever comes back tomorrow shows the key again."""

PURPOSE = "amos console session v1"
"""What the secret of the seal is derived for."""

COOKIE = "amos_session"
"""The name over plain HTTP, which is for this machine's own browser."""

COOKIE_OVER_TLS = "__Host-amos_session"
"""With this prefix browsers take it from this very host alone, over TLS (RFC 6265bis, 4.1.3.2), so that no
neighbouring name can slip somebody a session."""

COOKIE_BYTES_MAX = 4_096
"""RFC 6265, 6.1: what a browser keeps of one cookie. A longer header is looked at by nobody."""


class Sessions:
    """Seals and reads the cookie. `secret` `None` knows no session: a gateway without keys."""

    def __init__(self, secret: bytes | None, now: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._now = now

    def begin(self, key_id: str, *, is_secure: bool) -> str:
        """The `Set-Cookie` of a session that begins now with the key `key_id`."""
        ends_at = int(self._now() + SESSION_S_MAX)
        return _set_cookie(f"{key_id}.{ends_at}.{self._seal(key_id, ends_at)}", SESSION_S_MAX, is_secure)

    def end(self, *, is_secure: bool) -> str:
        """The `Set-Cookie` that makes the browser forget its session."""
        return _set_cookie("", 0.0, is_secure)

    def key_id(self, cookie: bytes | None, *, is_secure: bool) -> str:
        """The id of the key that the session in a `Cookie` header began with.

        `""` for no session, one that has ended, and anything that does not bear our seal.
        """
        value = _value(cookie, COOKIE_OVER_TLS if is_secure else COOKIE)
        key_id, _, rest = value.partition(".")
        until, _, seal = rest.partition(".")
        if self._secret is None or not (until.isascii() and until.isdigit() and len(until) <= 12):
            return ""
        if not seal.isascii() or not hmac.compare_digest(seal, self._seal(key_id, int(until))):
            return ""
        return key_id if self._now() < int(until) else ""

    def _seal(self, key_id: str, ends_at: int) -> str:
        assert self._secret is not None, "no session begins without keys"
        return hmac.digest(self._secret, f"{key_id}.{ends_at}".encode(), "sha256").hex()


def _set_cookie(value: str, lasts_s: float, is_secure: bool) -> str:  # noqa: FBT001 - named by every caller
    name = COOKIE_OVER_TLS if is_secure else COOKIE
    secure = "; Secure" if is_secure else ""
    return f"{name}={value}; Path=/; Max-Age={lasts_s:.0f}; HttpOnly; SameSite=Strict{secure}"


def _value(header: bytes | None, name: str) -> str:
    """The value of a cookie, `""` if there is none. Of several none counts: one of them is not ours."""
    if header is None or len(header) > COOKIE_BYTES_MAX * 2:
        return ""
    found = [
        value.strip()
        for part in header.decode("latin-1").replace(", ", "; ").split(";")
        for key, _, value in [part.partition("=")]
        if key.strip() == name
    ]
    return found[0] if len(found) == 1 else ""
