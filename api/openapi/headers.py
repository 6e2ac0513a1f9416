"""The headers of requests and answers, each described once and referred to by name."""

from __future__ import annotations

from api.openapi.operation import Schema

ALWAYS, SOMETIMES = True, False


def _header(description: str, example: str, *, always: bool, schema: Schema | None = None) -> Schema:
    return {
        "description": description,
        **({"required": True} if always else {}),
        "schema": schema or {"type": "string"},
        "example": example,
    }


_SECONDS: Schema = {"type": "integer", "minimum": 0}

ANSWER_HEADERS: dict[str, Schema] = {
    "Accept-Query": _header(
        "The method QUERY is answered here too, and takes this type (RFC 10008).",
        "application/json",
        always=ALWAYS,
    ),
    "Age": {
        **_header("Seconds since the answer was fetched; only of a cached one.", "", always=SOMETIMES),
        "schema": _SECONDS,
        "example": 12,
    },
    "Cache-Control": _header("Who may keep the answer.", "no-store", always=ALWAYS),
    "Cache-Status": _header(
        "How each tier of the cache took part, the one nearest the provider first (RFC 9211).",
        "amos-l1; hit; ttl=3588",
        always=ALWAYS,
    ),
    "ETag": _header(
        "Names what was found, for `If-None-Match`.", 'W/"5d41402abc4b2a76b9719d91"', always=ALWAYS
    ),
    "Link": _header(
        "Where the next page is (RFC 8288); absent from the last one.",
        '<?since=24h&before=4711>; rel="next"',
        always=SOMETIMES,
    ),
    "RateLimit": _header(
        "The tightest of your limits: `r` calls may follow at once, in `t` seconds more fit again "
        "(draft-ietf-httpapi-ratelimit-headers-10). Only for callers who are limited.",
        '"burst";r=19;t=1',
        always=SOMETIMES,
    ),
    "RateLimit-Policy": _header(
        "All of your limits: `q` calls in `w` seconds each. Only for callers who are limited.",
        '"burst";q=20;w=10, "minute";q=120;w=60',
        always=SOMETIMES,
    ),
    "Retry-After": {
        **_header("Seconds to wait before asking again.", "", always=SOMETIMES),
        "schema": {"type": "integer", "minimum": 1},
        "example": 2,
    },
    "Server-Timing": _header(
        "Milliseconds in all, and of them waiting for providers.",
        "total;dur=3.214, upstream;dur=0.000",
        always=ALWAYS,
    ),
    "WWW-Authenticate": _header(
        "How to show a key, and what is wrong with the one shown (RFC 6750).",
        'Bearer realm="amos", error="insufficient_scope", scope="search refresh"',
        always=SOMETIMES,
    ),
    "X-Request-Id": _header(
        "Your own `X-Request-Id`, or the id by which this call is found again.",
        "019ad1c4-7c1e-7d10-8a3c-5f0f3a6c2b11",
        always=ALWAYS,
    ),
    "traceparent": _header(
        "The trace and span of this call (W3C Trace Context).",
        "00-019ad1c47c1e7d108a3c5f0f3a6c2b11-8a3c5f0f3a6c2b11-01",
        always=ALWAYS,
    ),
}
"""Components of the document; those that are `required` stand in every answer that names them."""

REQUEST_HEADERS: dict[str, Schema] = {
    "Cache-Control": {
        "description": "What you want of the cache: `no-cache`, `no-store` and `max-age=N` fetch anew, which "
        "needs the scope `refresh`; `only-if-cached` never fetches (504 if there is nothing); "
        "`stale-if-error=N` takes an answer that old if no fresh one can be had. What cannot be read is "
        "passed over.",
        "schema": {"type": "string"},
        "example": "max-age=3600",
    },
    "If-None-Match": {
        "description": "The `ETag` of an answer you have: 304 without a body if it is still the same.",
        "schema": {"type": "string"},
        "example": 'W/"5d41402abc4b2a76b9719d91"',
    },
    "X-Request-Id": {
        "description": "Your own id for the call, repeated in the answer. One that is not 1 to 128 letters, "
        "digits, dots, underscores or hyphens is passed over.",
        "schema": {"type": "string"},
        "example": "checkout-42",
    },
    "traceparent": {
        "description": "Your trace, which this call becomes a part of (W3C Trace Context). A malformed one "
        "is passed over.",
        "schema": {"type": "string"},
        "example": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    },
    "Accept": {
        "description": "The form you prefer. Nobody is refused for it.",
        "schema": {"type": "string"},
        "example": "application/json",
    },
}
"""Parameters in headers; none is ever required, and none is ever refused."""
