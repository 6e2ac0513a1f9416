"""What can go wrong between us and an upstream, each case mapped to one of our errors, here and nowhere else.

Two libraries take part: httpx, whose interface we use, and aiohttp, which carries it. The adapter between
them names most failures of a connection `httpx.ConnectTimeout` and lets some of aiohttp's own exceptions
through, so the aiohttp exception, where there is one, decides: it is the `__cause__` of the httpx one.

A reason is a short code of low cardinality for events and answers. A message is in our words: the upstream's
body, its headers and the URL are never part of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import aiohttp
import httpx
import msgspec

from orchestrator import limits
from orchestrator.errors import (
    ProviderError,
    ProviderProtocolError,
    ProviderQuotaExceeded,
    ProviderRejected,
    ProviderThrottled,
    ProviderTimeout,
    ProviderUnavailable,
)
from orchestrator.events import FREE

if TYPE_CHECKING:
    from orchestrator.providers.upstream import Reply

TRANSPORT_ERRORS = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.CookieConflict,
    httpx.StreamError,
    aiohttp.ClientError,
    OSError,
)
"""The roots of everything the transport may raise; OSError includes TimeoutError and ssl.SSLError."""

_TIMEOUT = (ProviderTimeout, "timeout", "gave no whole answer in time")
_CONNECT = (ProviderUnavailable, "connect", "could not be reached")
_DNS = (ProviderUnavailable, "dns", "has a host name that could not be resolved")
_TLS = (ProviderUnavailable, "tls", "could not be reached over TLS")
_PROXY = (ProviderUnavailable, "proxy", "could not be reached through the proxy")
_RESET = (ProviderUnavailable, "reset", "cut the connection")
_TRUNCATED = (ProviderUnavailable, "truncated", "ended its answer too early")
_NOT_HTTP = (ProviderProtocolError, "bad_http", "did not answer in HTTP")
_ENCODING = (ProviderProtocolError, "bad_encoding", "sent an answer that could not be decompressed")
_REDIRECT = (ProviderProtocolError, "redirect", "redirected us, which its contract does not foresee")
_URL = (ProviderUnavailable, "bad_url", "is configured with a URL that cannot be called")
_QUOTA = (ProviderQuotaExceeded, "quota", "has no quota left for us")
_CLIENT = (ProviderUnavailable, "client_state", "was called through a client in the wrong state")

_NEVER_SENT = frozenset({_CONNECT, _DNS, _TLS, _PROXY, _URL, _CLIENT})
"""Failures that come before the request has left us. After any other one the provider may have done the work,
and billed it."""

FAULTS: dict[type[BaseException], tuple[type[ProviderError], str, str]] = {
    # aiohttp: the most specific class of an exception decides.
    aiohttp.ClientConnectorDNSError: _DNS,
    aiohttp.ClientSSLError: _TLS,
    aiohttp.ClientConnectorCertificateError: _TLS,
    aiohttp.ServerFingerprintMismatch: _TLS,
    aiohttp.ClientProxyConnectionError: _PROXY,
    aiohttp.ClientHttpProxyError: _PROXY,
    aiohttp.ClientConnectorError: _CONNECT,
    aiohttp.ServerTimeoutError: _TIMEOUT,
    aiohttp.ClientPayloadError: _TRUNCATED,
    aiohttp.ClientConnectionError: _RESET,
    aiohttp.TooManyRedirects: _REDIRECT,
    aiohttp.ClientResponseError: _NOT_HTTP,
    aiohttp.InvalidURL: _URL,
    aiohttp.NonHttpUrlClientError: _URL,
    aiohttp.ClientError: _RESET,
    # httpx, for a transport that raises its exceptions without a cause.
    httpx.ConnectTimeout: _TIMEOUT,
    httpx.ReadTimeout: _TIMEOUT,
    httpx.WriteTimeout: _TIMEOUT,
    httpx.PoolTimeout: _TIMEOUT,
    httpx.TimeoutException: _TIMEOUT,
    httpx.ConnectError: _CONNECT,
    httpx.ReadError: _RESET,
    httpx.WriteError: _RESET,
    httpx.CloseError: _RESET,
    httpx.NetworkError: _RESET,
    httpx.RemoteProtocolError: _NOT_HTTP,
    httpx.LocalProtocolError: _NOT_HTTP,
    httpx.ProtocolError: _NOT_HTTP,
    httpx.ProxyError: _PROXY,
    httpx.UnsupportedProtocol: _URL,
    httpx.InvalidURL: _URL,
    httpx.DecodingError: _ENCODING,
    httpx.TooManyRedirects: _REDIRECT,
    httpx.HTTPStatusError: _NOT_HTTP,
    httpx.CookieConflict: _CLIENT,
    httpx.StreamConsumed: _CLIENT,
    httpx.StreamClosed: _CLIENT,
    httpx.ResponseNotRead: _CLIENT,
    httpx.RequestNotRead: _CLIENT,
    httpx.StreamError: _CLIENT,
    httpx.TransportError: _RESET,
    httpx.RequestError: _RESET,
    httpx.HTTPError: _RESET,
    TimeoutError: _TIMEOUT,
    OSError: _RESET,
}
"""Exception class to our error, reason and words. A test walks both libraries for a class without a row."""


def transport_fault(error: BaseException, provider: str) -> ProviderError:
    """Our error for an exception of the transport; the caller raises it `from` the original."""
    for candidate in (error.__cause__, error):
        for cls in type(candidate).__mro__:
            if cls in FAULTS:
                row = FAULTS[cls]
                kind, reason, words = row
                assumed = FREE if row in _NEVER_SENT else None
                return kind(f"{provider} {words}.", provider=provider, reason=reason, assumed=assumed)
    return ProviderUnavailable(f"{provider} could not be called.", provider=provider, reason="transport")


_STATUSES: dict[int, tuple[type[ProviderError], str, str]] = {
    400: (ProviderRejected, "bad_request", "refuses the request as invalid"),
    401: (ProviderRejected, "key_refused", "refuses our key"),
    402: _QUOTA,
    403: (ProviderRejected, "forbidden", "refuses the request"),
    408: (ProviderTimeout, "timeout", "gave up waiting"),
    409: (ProviderRejected, "conflict", "refuses the request"),
    413: (ProviderRejected, "too_large", "refuses the request as too large"),
    422: (ProviderRejected, "bad_request", "refuses the request as invalid"),
    429: (ProviderThrottled, "throttled", "asks us to slow down"),
    432: _QUOTA,
    433: _QUOTA,
    508: (ProviderRejected, "loop", "leads back to this gateway"),
    451: (ProviderRejected, "forbidden", "refuses the request"),
}
"""What a status means wherever it comes from; 432 and 433 are Tavily's own and used by nobody else."""


def status_fault(reply: Reply, provider: str) -> ProviderError:
    """Our error for a status other than 200, by the status alone; the body is not looked at.

    Neither upstream bills a call that it answers with another status.
    """
    status = reply.status
    if status in _STATUSES:
        kind, reason, words = _STATUSES[status]
    elif status >= 500:
        kind, reason, words = ProviderUnavailable, f"http_{status}", "has a fault of its own"
    else:
        kind, reason, words = ProviderProtocolError, f"http_{status}", "answered outside of its contract"
    return kind(
        f"{provider} {words} (HTTP {status}).",
        provider=provider,
        reason=reason,
        retry_after_s=reply.retry_after_s,
        assumed=FREE,
    )


@contextmanager
def reading_answer(provider: str) -> Iterator[None]:
    """While the body of a 200 is read: what is not JSON, or not what the contract promises, is our error.

    Raises ProviderProtocolError with the reason `bad_json` or `bad_shape`.
    """
    try:
        yield
    except msgspec.ValidationError as error:
        raise ProviderProtocolError(
            f"{provider} sent an answer of an unknown shape.", provider=provider, reason="bad_shape"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProviderProtocolError(
            f"{provider} sent an answer that is not JSON.", provider=provider, reason="bad_json"
        ) from error


def retry_after_s(value: str | None, now: float) -> float | None:
    """A `Retry-After` header as seconds from `now` (epoch seconds), 0 to `limits.RETRY_AFTER_S_MAX`.

    Whole seconds and all HTTP-date forms (RFC 9110, 10.2.3) are understood, and fractions of seconds, which
    limiters send in spite of it; `None` if absent or unreadable. A date in the past gives 0.
    """
    text = (value or "").strip()
    if re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,18})?", text):
        return min(float(text), limits.RETRY_AFTER_S_MAX)
    try:
        date = parsedate_to_datetime(text)
        # Without a zone (`asctime`, or -0000) it would be taken for the time of this machine.
        moment = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(moment - now, 0.0), limits.RETRY_AFTER_S_MAX)
