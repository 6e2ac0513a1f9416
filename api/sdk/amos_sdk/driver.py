"""The two drivers of an exchange: they send and wait, one blocking and one awaiting, and decide nothing.

Both keep to the time that is left of a call and to a bound of its answer, which httpx alone does not: its
timeouts are those of one read.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from amos_sdk.errors import UnexpectedAnswer
from amos_sdk.exchange import Send, Wait

if TYPE_CHECKING:
    from amos_sdk.exchange import Steps

T = TypeVar("T")

CONNECT_S = 5.0
"""chosen: seconds until a connection must stand; a gateway is near."""

ANSWER_BYTES_MAX = 64 * 1024 * 1024
"""chosen: several times the largest extract of 20 pages; more is not an answer of AMOS."""

_OF_THE_TRANSFER = {b"content-encoding", b"content-length", b"transfer-encoding"}


def drive(http: httpx.Client, steps: Steps[T]) -> T:
    """Do what the exchange yields, blocking; its result. Raises AmosError."""
    step = next(steps)
    try:
        while True:
            if isinstance(step, Wait):
                time.sleep(step.seconds)
                step = steps.send(None)
            else:
                step = steps.send(_outcome(http, step))
    except StopIteration as done:
        answer: T = done.value
        return answer


async def drive_async(http: httpx.AsyncClient, steps: Steps[T]) -> T:
    """Do what the exchange yields, awaiting; its result. Raises AmosError."""
    step = next(steps)
    try:
        while True:
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
                step = steps.send(None)
            else:
                step = steps.send(await _outcome_async(http, step))
    except StopIteration as done:
        answer: T = done.value
        return answer


def timeout_of(left_s: float) -> httpx.Timeout:
    """What one step of the network may take of the seconds that are left."""
    return httpx.Timeout(max(0.0, left_s), connect=min(CONNECT_S, max(0.0, left_s)))


def request_of(http: httpx.Client | httpx.AsyncClient, send: Send) -> httpx.Request:
    """The request below the client's address. Raises ValueError for another, TypeError for no JSON."""
    try:
        is_elsewhere = httpx.URL(send.path).is_absolute_url
    except httpx.InvalidURL as error:
        raise ValueError(f"path is none: {error}") from error
    if is_elsewhere:  # it would be shown the key
        raise ValueError("path must be below the client's base_url")
    return http.build_request(send.method, send.path, timeout=timeout_of(send.left_s), **send.options)


def _outcome(http: httpx.Client, send: Send) -> httpx.Response | httpx.HTTPError:
    ends_at = time.monotonic() + send.left_s
    try:
        response = http.send(request_of(http, send), stream=True)
        try:
            body = bytearray()
            for chunk in response.iter_bytes():
                _grow(body, chunk)
                if time.monotonic() > ends_at:
                    return httpx.ReadTimeout("the answer did not end in time")
            return _whole(response, body)
        finally:
            response.close()
    except httpx.HTTPError as error:
        return error


async def _outcome_async(http: httpx.AsyncClient, send: Send) -> httpx.Response | httpx.HTTPError:
    try:
        return await asyncio.wait_for(_response(http, send), send.left_s)
    except asyncio.TimeoutError:  # noqa: UP041 - before Python 3.11 it is not yet TimeoutError
        return httpx.ReadTimeout("the answer did not end in time")
    except httpx.HTTPError as error:
        return error


async def _response(http: httpx.AsyncClient, send: Send) -> httpx.Response:
    response = await http.send(request_of(http, send), stream=True)
    try:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            _grow(body, chunk)
        return _whole(response, body)
    finally:
        await response.aclose()


def _grow(body: bytearray, chunk: bytes) -> None:
    body += chunk
    if len(body) > ANSWER_BYTES_MAX:
        raise UnexpectedAnswer(f"The answer is longer than {ANSWER_BYTES_MAX} bytes; check the base URL.")


def _whole(response: httpx.Response, body: bytearray) -> httpx.Response:
    """The same response with the body that was read, without the headers that told how it travelled."""
    headers = [(name, value) for name, value in response.headers.raw if name.lower() not in _OF_THE_TRANSFER]
    extensions: dict[str, Any] = {
        name: value for name, value in response.extensions.items() if name == "reason_phrase"
    }
    return httpx.Response(response.status_code, headers=headers, content=bytes(body), extensions=extensions)
