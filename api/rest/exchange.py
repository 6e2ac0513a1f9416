"""Reading a body and sending an answer over ASGI, without the objects in between that cost a hit its time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from starlette.types import Receive, Send

from api.rest.problems import Problem
from orchestrator import limits
from orchestrator.patience import within

JSON_TYPE = (b"content-type", b"application/json")
NO_SNIFFING = (b"x-content-type-options", b"nosniff")
NO_PAGE = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
"""For whatever a browser may be shown: data runs nothing and stands in no frame."""

Header = tuple[bytes, bytes]


class ClientLeft(Exception):
    """The client closed the connection before it had sent its request; there is nobody to answer."""


async def read_body(receive: Receive) -> bytes:
    """The whole body. Raises Problem (413, 408) and ClientLeft.

    The size is what arrives, not what `Content-Length` says. The rest of a body that is too large is read and
    thrown away, within `limits.BODY_BYTES_DISCARDED_MAX`, so that the client gets to see why.
    """
    try:
        # Most bodies arrive with the head of their request: then nothing waits, and there is no timer.
        return await within(asyncio.get_running_loop().time() + limits.BODY_S_MAX, _read(receive))
    except TimeoutError as slow:
        raise Problem(408, "body_timeout", f"The body took longer than {limits.BODY_S_MAX:g} s.") from slow


async def _read(receive: Receive) -> bytes:
    body = b""
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        part = message.get("body", b"")
        size += len(part)
        if size <= limits.BODY_BYTES_MAX:
            body = body + part if body else part
        if not message.get("more_body", False) or size > limits.BODY_BYTES_DISCARDED_MAX:
            break
    if size > limits.BODY_BYTES_MAX:
        raise Problem(413, "body_too_large", f"The body is larger than {limits.BODY_BYTES_MAX} bytes.")
    return body


async def send_answer(
    send: Send, status: int, headers: Iterable[Header], body: bytes, *, is_head: bool = False
) -> None:
    """Send a finished answer. `is_head` leaves the body out and lets its length stand (also for a 304)."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, (b"content-length", b"%d" % len(body))],
        }
    )
    await send({"type": "http.response.body", "body": b"" if is_head else body})
