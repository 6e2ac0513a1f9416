"""Answers that come line by line: the progress of long work, told while it is done.

Only `cache/warm` answers so. A search or an extract answers once, within seconds; over MCP its progress is
told (docs/mcp.md).
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx

from amos_sdk.driver import request_of
from amos_sdk.errors import Refused, UnexpectedAnswer
from amos_sdk.exchange import JSON_ERRORS, failure

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from amos_sdk.exchange import Send


def lines_of(http: httpx.Client, send: Send, timeout_s: float) -> Iterator[dict[str, Any]]:
    """The JSON objects of the answer, one a line, blocking. Raises AmosError."""
    try:
        response = http.send(request_of(http, replace(send, left_s=timeout_s)), stream=True)
        try:
            if not response.is_success:
                response.read()
                raise failure(response)
            for line in response.iter_lines():
                yield _object_of(line)
        finally:
            response.close()
    except httpx.HTTPError as error:
        raise failure(error) from error


async def lines_of_async(
    http: httpx.AsyncClient, send: Send, timeout_s: float
) -> AsyncGenerator[dict[str, Any]]:
    """The same, awaiting."""
    try:
        response = await http.send(request_of(http, replace(send, left_s=timeout_s)), stream=True)
        try:
            if not response.is_success:
                await response.aread()
                raise failure(response)
            async for line in response.aiter_lines():
                yield _object_of(line)
        finally:
            await response.aclose()
    except httpx.HTTPError as error:
        raise failure(error) from error


def _object_of(line: str) -> dict[str, Any]:
    """The JSON object of a line. Raises Refused for one that says why the work broke off."""
    try:
        found = json.loads(line)
        broken = found.get("error")
    except JSON_ERRORS as error:
        raise UnexpectedAnswer("The address answers, but not as AMOS does; check the base URL.") from error
    if broken is not None:
        told = broken if isinstance(broken, dict) else {}
        message = str(told.get("message") or "The server has failed.")
        raise Refused(message, status=200, code=str(told.get("code", "")))
    return dict(found)
