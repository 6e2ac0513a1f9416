"""Who knocks, as the headers of one request tell it: read once, by the guard, and used by every route."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

import msgspec
from starlette.types import Scope

from orchestrator.model import DEFAULT_CACHE_CONTROL, CacheControl, Caller
from orchestrator.via import read_via

SCOPE_KEY = "amos.visitor"
"""Where in the ASGI scope the guard leaves the visitor."""

Headers: TypeAlias = dict[bytes, bytes]
"""Header values by lower-case name; values of a repeated header are joined by `, ` (RFC 9110, 5.3)."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_NO_TRACE = ("", "")

SECONDS_MAX = 999_999_999
"""chosen: 30 years; a longer time means the same, and would not fit a float exactly."""

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_MEMBER = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.?)*"?)+')
"""What stands between the commas that are in no quotes (RFC 9110, 5.6); a quote that is never closed takes
all that follows, so that no header is read twice."""
_DIRECTIVE = re.compile(rf"\s*({_NAME})(?:=({_NAME}|{_QUOTED}))?\s*")


class Visitor(msgspec.Struct, frozen=True):
    """One request's headers, and why it cannot be the local operator's (`""` if it is theirs).

    `address` is the client's: the peer's, or what trusted proxies say of it; `""` if nobody knows.
    """

    headers: Headers
    refusal: str
    address: str = ""

    @property
    def request_id(self) -> bytes:
        """The client's own `X-Request-Id` if it is harmless to repeat, else `b""`."""
        given = self.headers.get(b"x-request-id", b"")
        return given if _REQUEST_ID.fullmatch(given) else b""

    def caller(
        self, *, method: str = "", target: str = "", dialect: str = "", credential: str | None = None
    ) -> Caller:
        """The caller for the pipeline, who asks with `method` for the route `target`.

        A key in a header wins over `credential`, one from the body.
        """
        headers = self.headers
        authorization, api_key = headers.get(b"authorization"), headers.get(b"x-api-key")
        if authorization is not None:
            credential = _bearer(authorization) or credential
        if api_key is not None:
            credential = _either(authorization, api_key) or credential
        traceparent = headers.get(b"traceparent")
        trace_id, parent_span_id = _NO_TRACE if traceparent is None else trace_of(traceparent)
        wishes = headers.get(b"cache-control")
        via = headers.get(b"amos-via")
        return Caller(
            door="http",
            method=method,
            target=target,
            dialect=dialect,
            is_local_operator=not self.refusal,
            refusal=self.refusal,
            address=self.address,
            credential=credential,
            trace_id=trace_id,
            parent_span_id=parent_span_id,
            via=() if via is None else read_via(via),
            cache_control=DEFAULT_CACHE_CONTROL if wishes is None else cache_control(wishes),
        )


def fold(pairs: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers of a scope as a mapping. ASGI promises lower-case names."""
    pairs = list(pairs)
    headers = dict(pairs)
    if len(headers) == len(pairs):
        return headers
    joined: Headers = {}
    for name, value in pairs:
        joined[name] = joined[name] + b", " + value if name in joined else value
    return joined


def trace_of(traceparent: bytes) -> tuple[str, str]:
    """Trace id and parent span id of a valid header, two empty strings otherwise (W3C Trace Context, 3.2).

    Version `ff` is forbidden, version `00` has nothing after the flags, later versions may; ids of zeros are
    no ids.
    """
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return _NO_TRACE
    version, trace_id, span_id, rest = found.groups()
    if version == b"ff" or (version == b"00" and rest) or not trace_id.strip(b"0") or not span_id.strip(b"0"):
        return _NO_TRACE
    return trace_id.decode(), span_id.decode()


@lru_cache(maxsize=256)
def cache_control(value: bytes) -> CacheControl:
    """The request directives we know (RFC 9111, 5.2.1; RFC 5861, 4); others and malformed ones are ignored.

    Of a directive that is given twice the first counts.
    """
    given: dict[str, str | None] = {}
    for member in _MEMBER.findall(value.decode("latin-1")):
        if (directive := _DIRECTIVE.fullmatch(member)) is not None:
            given.setdefault(directive[1].lower(), directive[2])
    return CacheControl(
        no_cache="no-cache" in given,
        no_store="no-store" in given,
        only_if_cached="only-if-cached" in given,
        max_age_s=_seconds(given.get("max-age")),
        stale_if_error_s=_seconds(given.get("stale-if-error")),
    )


def _seconds(argument: str | None) -> float | None:
    """Whole seconds, perhaps in quotes (RFC 9111, 1.2.2 and 5.2); `None` for anything else."""
    digits = (argument or "").strip('"')
    if not (digits.isascii() and digits.isdigit()):
        return None
    return float(min(int(digits.lstrip("0")[:10] or "0"), SECONDS_MAX))


def visitor_of(scope: Scope) -> Visitor:
    """The visitor the guard has let in."""
    visitor: Visitor = scope[SCOPE_KEY]
    return visitor


def _bearer(authorization: bytes) -> str | None:
    """The key of the header, `None` if it holds none; of several headers all, which no key survives."""
    if b"," in authorization:
        return authorization.decode("latin-1")
    scheme, _, key = authorization.partition(b" ")
    return key.strip().decode("latin-1") or None if scheme.lower() == b"bearer" else None


def _either(authorization: bytes | None, api_key: bytes) -> str | None:
    """The one key of both headers; two that differ are given as two, since nobody can tell which is meant."""
    one = None if authorization is None else _bearer(authorization)
    other = api_key.strip().decode("latin-1") or None
    return one or other if one is None or other is None or one == other else f"{one}, {other}"
