"""Bodies are read within bounds of size and time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from api.rest.exchange import ClientLeft, read_body
from api.rest.problems import Problem
from orchestrator import limits


class Sender:
    """A client that sends these messages; `taken` counts those the server has read."""

    def __init__(self, messages: Iterable[dict[str, Any]]) -> None:
        self._messages = iter(messages)
        self.taken = 0

    async def __call__(self) -> dict[str, Any]:
        """The next message; after the last one nothing ever comes."""
        self.taken += 1
        message = next(self._messages, None)
        if message is None:
            await asyncio.Event().wait()
        return message or {}


def part(body: bytes, *, more: bool = True) -> dict[str, Any]:
    """One piece of a body."""
    return {"type": "http.request", "body": body, "more_body": more}


async def test_pieces_are_joined():
    """A body is what arrived until the client says it is all."""
    assert await read_body(Sender([part(b"a"), part(b"b"), part(b"", more=False)])) == b"ab"


async def test_a_client_that_leaves_is_not_answered():
    """Half a body is no request."""
    with pytest.raises(ClientLeft):
        await read_body(Sender([part(b"a"), {"type": "http.disconnect"}]))


async def test_a_large_body_is_read_to_its_end():
    """The client has sent everything when the refusal comes, so it gets to read it."""
    sender = Sender([part(b" " * limits.BODY_BYTES_MAX), part(b" "), part(b" "), part(b"", more=False)])

    with pytest.raises(Problem) as refused:
        await read_body(sender)

    assert (refused.value.status, sender.taken) == (413, 4)


async def test_an_endless_body_is_cut():
    """Nobody keeps us reading for ever."""
    sender = Sender(part(b" " * 10_000_000) for _ in range(100))

    with pytest.raises(Problem) as refused:
        await read_body(sender)

    assert refused.value.status == 413
    assert sender.taken == limits.BODY_BYTES_DISCARDED_MAX // 10_000_000 + 1


async def test_a_body_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch):
    """A client that stops in the middle holds its connection for a bounded time only."""
    monkeypatch.setattr(limits, "BODY_S_MAX", 0.01)

    with pytest.raises(Problem) as refused:
        await read_body(Sender([part(b"a")]))

    assert refused.value.status == 408
