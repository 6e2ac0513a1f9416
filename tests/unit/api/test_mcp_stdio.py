"""Lines as requests: how much of one is kept, and how long the end of input waits."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCResponse

from api.mcp_lines import file_lines
from api.mcp_stdio import Answers, Lines, UnderWay
from orchestrator import limits

PING = b'{"jsonrpc":"2.0","id":%d,"method":"ping"}\n'


class Outgoing:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    async def send(self, item: SessionMessage, /) -> None:
        """Keep it."""
        self.sent.append(json.loads(item.message.model_dump_json(by_alias=True, exclude_unset=True)))

    async def aclose(self) -> None:
        """Nothing to close."""

    async def __aenter__(self) -> Outgoing:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to close."""


class Endless(io.RawIOBase):
    """One line that is as long as it is asked for, and then a request. `read_max` is the longest read."""

    def __init__(self, bytes_in_all: int) -> None:
        self._left = bytes_in_all
        self.read_max = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        """So much of the line, in the end the request."""
        assert size is not None
        assert size > 0, "a line is never read without a bound"
        self.read_max = max(self.read_max, size)
        if self._left < 0:
            return b""
        if self._left == 0:
            self._left = -1
            return PING % 1
        taken = min(size, self._left)
        self._left -= taken
        return b"x" * (taken - 1) + (b"\n" if self._left == 0 else b"x")


def reading(source: Any) -> tuple[Lines, Answers, UnderWay, Outgoing]:
    """Lines of this source and where their answers go."""
    under_way, outgoing = UnderWay(), Outgoing()
    lines = Lines(file_lines(source), under_way)
    lines.answers = Answers(outgoing, under_way)
    return lines, lines.answers, under_way, outgoing


async def test_a_line_of_any_length_takes_no_more_than_its_bound():
    """Thirty megabytes are refused once and never in memory at once, and the next line counts."""
    source = Endless(30_000_000)
    lines, answers, _, outgoing = reading(source)

    read = []
    async for line in lines:
        read.append(json.loads(line)["id"])
        await answers.send(SessionMessage(JSONRPCResponse(jsonrpc="2.0", id=1, result={})))

    assert read == [1]
    assert [one["error"]["code"] for one in outgoing.sent if "error" in one] == [-32600]
    assert source.read_max <= limits.BODY_BYTES_MAX + 1


async def test_the_end_of_input_waits_for_its_answers():
    """Both requests of one id are waited for, and none that was cancelled."""
    cancelled = b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}\n'
    lines, answers, _, _ = reading(io.BytesIO(PING % 1 + PING % 1 + PING % 2 + cancelled))

    async def read() -> int:
        return len([line async for line in lines])

    reader = asyncio.create_task(read())
    for _ in range(2):
        await asyncio.sleep(0.05)
        assert not reader.done()
        await answers.send(SessionMessage(JSONRPCResponse(jsonrpc="2.0", id=1, result={})))

    assert await asyncio.wait_for(reader, 1.0) == 4


async def test_it_does_not_wait_for_ever():
    """An answer that never comes ends the wait at its bound."""
    under_way = UnderWay()
    under_way.begin(1)

    await asyncio.wait_for(under_way.over(0.05), 1.0)


async def test_an_id_nobody_has_used_ends_nothing():
    """Cancelling what there is not leaves what there is under way."""
    under_way = UnderWay()
    under_way.begin(1)
    under_way.end(2)

    waiting = asyncio.create_task(under_way.over(5.0))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    under_way.end(1)
    await asyncio.wait_for(waiting, 1.0)
