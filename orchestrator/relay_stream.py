"""Makes what strangers wrote harmless, in an answer as a whole or while it streams by.

A stream is one of server-sent events, whose data is JSON. It is made harmless line by line, since a sign
that hides may be spelled out in JSON by its number, or be cut in two between two pieces.
"""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator import limits
from orchestrator.errors import ProviderProtocolError
from orchestrator.relays import Sink
from orchestrator.sanitise import page, visible

DEPTH_MAX = 24
"""chosen: an answer of a schema of the caller's own nests as deep as that does; what is deeper is dropped."""

_DATA = b"data:"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def harmless(value: Any, depth_max: int = DEPTH_MAX, name: str = "") -> Any:
    """The value with every text in it visible, and pages without what acts."""
    if isinstance(value, str):
        return page(value, limits.RAW_CONTENT_CHARS_MAX) if name == "raw_content" else visible(value)
    if not depth_max:
        return None if isinstance(value, list | dict) else value
    if isinstance(value, list):
        return [harmless(item, depth_max - 1) for item in value]
    if isinstance(value, dict):
        return {visible(key): harmless(item, depth_max - 1, key) for key, item in value.items()}
    return value


class HarmlessStream:
    """A sink in front of another one: whole lines go on, made harmless. `end` sends what is left."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._rest = b""

    async def __call__(self, piece: bytes) -> None:
        """Take a piece. Raises ProviderProtocolError for a line without an end."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > limits.STREAM_LINE_BYTES_MAX:
            raise ProviderProtocolError(
                "The provider streams a line without an end.", provider="tavily", reason="too_large"
            )
        if lines:
            await self._sink(b"".join(_line(line) + b"\n" for line in lines))

    async def end(self) -> None:
        """Send on what came after the last line, if anything."""
        if self._rest:
            await self._sink(_line(self._rest))
            self._rest = b""


def _line(line: bytes) -> bytes:
    if line.startswith(_DATA):
        try:
            return b"data: " + _encode(harmless(_decode(line[len(_DATA) :])))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            pass  # no JSON: then it is a text
    return visible(line.decode(errors="replace").rstrip("\r")).encode()
