"""The SDK's server on standard input and output, minus what it does badly there: silence, haste and greed.

It drops a line that is no request without a word, so that its sender waits for ever; it cuts off the calls
that are under way when the input ends, though they are paid for and the output is still open; and it reads a
line of any length. Here such a line is answered as it is at `/mcp`, the end of input waits for the calls
before it, and a line has the bound of a body.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from typing import IO, Any, cast

import msgspec
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared._stream_protocols import WriteStream
from mcp.shared.message import SessionMessage
from mcp_types import ErrorData, JSONRPCError, JSONRPCResponse, jsonrpc_message_adapter

from api.mcp_calls import PATIENCE_S
from api.mcp_json_rpc import INVALID_REQUEST, NO_JSON, Fault, fault_of
from api.mcp_lines import LINE_BYTES_MAX, ReadLine, lines_of

LINE_TOO_LONG = Fault(INVALID_REQUEST, f"A line may have {LINE_BYTES_MAX:,} bytes at most.")

CANCELLED = "notifications/cancelled"

_log = logging.getLogger("amos.mcp")

_decode = msgspec.json.Decoder().decode


async def serve_pipes(server: Server[Any], source: IO[bytes]) -> None:
    """Serve one client, whose requests are the lines of `source`, until they end and are answered.

    A client that no longer reads is the end as well.
    """
    under_way = UnderWay()
    try:
        async with lines_of(source) as read_line:
            lines = Lines(read_line, under_way)
            async with stdio_server(stdin=cast("Any", lines)) as (incoming, outgoing):
                answers = Answers(outgoing, under_way)
                lines.answers = answers
                await server.run(incoming, answers, server.create_initialization_options())
    except* BrokenPipeError:
        _log.debug("the client no longer reads")


class UnderWay:
    """How many requests of each id are not answered yet: a client may use an id again before it is."""

    def __init__(self) -> None:
        self._counts: Counter[str | int] = Counter()
        self._over = asyncio.Event()
        self._over.set()

    def begin(self, request_id: str | int) -> None:
        """A request has come."""
        self._counts[request_id] += 1
        self._over.clear()

    def end(self, request_id: str | int) -> None:
        """A request is answered, or will never be because it was cancelled; an id there is not is ignored."""
        self._counts[request_id] -= 1
        self._counts = +self._counts
        if not self._counts:
            self._over.set()

    async def over(self, timeout_s: float) -> None:
        """Wait until all are answered, that long at most."""
        try:
            await asyncio.wait_for(self._over.wait(), timeout_s)
        except TimeoutError:
            return


class Answers:
    """What the server sends, on its way to standard output."""

    def __init__(self, outgoing: WriteStream[SessionMessage], under_way: UnderWay) -> None:
        self._outgoing = outgoing
        self._under_way = under_way

    async def send(self, item: SessionMessage, /) -> None:
        """Send it. An answer ends its request once it has gone."""
        await self._outgoing.send(item)
        message = item.message
        if isinstance(message, JSONRPCResponse | JSONRPCError) and message.id is not None:
            self._under_way.end(message.id)

    async def refuse(self, fault: Fault, request_id: str | int | None) -> None:
        """Answer a line that is no request; `None` if nobody knows its id."""
        error = ErrorData(code=fault.code, message=fault.message)
        await self._outgoing.send(SessionMessage(JSONRPCError(jsonrpc="2.0", id=request_id, error=error)))

    async def aclose(self) -> None:
        """There is nothing more to send."""
        await self._outgoing.aclose()

    async def __aenter__(self) -> Answers:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class Lines:
    """The lines that are requests or notifications, for the SDK to read as from a file."""

    answers: Answers

    def __init__(self, read_line: ReadLine, under_way: UnderWay) -> None:
        self._read_line = read_line
        self._under_way = under_way

    async def __aiter__(self) -> AsyncIterator[str]:
        """Each of them. A line without an end at the end of input is one as well."""
        while line := await self._read_line():
            if not line.strip():
                continue
            fault = LINE_TOO_LONG if len(line) > LINE_BYTES_MAX else fault_of(line) or _fault_within(line)
            if fault is None:
                self._note(_decode(line))
                yield line.decode()
            else:
                await self._refuse(line, fault)
        await self._under_way.over(PATIENCE_S)

    async def _refuse(self, line: bytes, fault: Fault) -> None:
        message = _object_in(line)
        if "result" in message or "error" in message:
            return  # An answer must not be answered: two that do would never end.
        request_id = message.get("id")
        is_id = isinstance(request_id, str | int) and not isinstance(request_id, bool)
        await self.answers.refuse(fault, request_id if is_id else None)

    def _note(self, message: dict[str, Any]) -> None:
        if "id" in message:
            self._under_way.begin(message["id"])
        elif message["method"] == CANCELLED:
            cancelled = message.get("params", {}).get("requestId")
            if isinstance(cancelled, str | int):
                self._under_way.end(cancelled)


def _fault_within(line: bytes) -> Fault | None:
    """Why a request cannot be read for what its parameters hold, `None` if it can.

    They must be JSON for us, who look for ids, and for the SDK, which drops what it cannot read (text that is
    no UTF-8, a number out of range, nesting of some hundred levels).
    """
    try:
        _decode(line)
        jsonrpc_message_adapter.validate_json(line, by_name=False)
    except (ValueError, RecursionError):
        return NO_JSON
    return None


def _object_in(line: bytes) -> dict[str, Any]:
    """The JSON object that the line is, an empty one if it is none."""
    try:
        message = _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}
