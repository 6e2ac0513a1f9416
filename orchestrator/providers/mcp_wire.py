"""The Model Context Protocol as a client of one tool needs it: messages out, answers in. Pure.

Two eras are spoken. In the modern one (2026-07-28) every request stands alone and says in its headers and its
`_meta` what it is; in the handshake era a session is opened first. An answer is one JSON object, or a stream
of events in which that object comes among others.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from orchestrator.model import Call
from orchestrator.trace_context import traceparent

MODERN = "2026-07-28"
"""The revision without sessions."""

HANDSHAKES = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""The revisions with a handshake, newest first; the first is the one we ask for."""

ACCEPT = "application/json, text/event-stream"
"""Streamable HTTP: a client must be able to read both."""

CLIENT_INFO = {"name": "amos", "version": "1"}
"""How we introduce ourselves; nobody may decide anything by it."""

UNSUPPORTED_VERSION = -32_022
INVALID_PARAMS = -32_602
METHOD_NOT_FOUND = -32_601
INTERNAL_ERROR = -32_603
"""JSON-RPC 2.0, 5.1, and the modern revision's own."""

_HEADER_SAFE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}")
_BASE64 = re.compile(r"=\?base64\?.*\?=")


class Tool(msgspec.Struct, frozen=True, rename="camel"):
    """A tool as its server describes it."""

    name: str
    input_schema: Any = None


class ToolList(msgspec.Struct, frozen=True, rename="camel"):
    """A page of the list of tools; `next_cursor` leads to the next one."""

    tools: list[Tool]
    next_cursor: str | None = None


class Welcome(msgspec.Struct, frozen=True, rename="camel"):
    """The answer to `initialize`."""

    protocol_version: str


class Content(msgspec.Struct, frozen=True):
    """One block of a tool's answer: `text`, or a `resource_link`, which has the other members, or another."""

    type: str
    text: str | None = None
    uri: Any = None
    name: Any = None
    title: Any = None
    description: Any = None


class ToolResult(msgspec.Struct, frozen=True, rename="camel"):
    """What a tool answered."""

    content: list[Content] = []
    structured_content: Any = None
    is_error: bool = False
    result_type: str = "complete"


class RpcError(msgspec.Struct, frozen=True):
    """A refusal of the protocol's. Its message is a stranger's and shown to nobody."""

    code: int
    message: str = ""


NOTHING = msgspec.Raw()
"""The result of an answer that has none."""


class RpcAnswer(msgspec.Struct, frozen=True):
    """The answer to a request: one of the two, and the request it belongs to."""

    id: int | str | None = None
    result: msgspec.Raw = NOTHING
    error: RpcError | None = None


_decode = msgspec.json.Decoder(RpcAnswer).decode


def read_answer(body: bytes) -> RpcAnswer:
    """The answer of a body that is one JSON object. Raises msgspec.DecodeError, UnicodeDecodeError."""
    answer = _decode(body)
    if (answer.result == NOTHING) == (answer.error is None):
        raise msgspec.ValidationError("an answer has a result or an error")
    return answer


class Listener:
    """Reads a stream of events piece by piece until the answer to request `number` has come.

    What else comes (progress, log lines, requests of the server, which we have no use for) is passed over.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._rest = bytearray()
        self._data: list[bytes | bytearray] = []
        self.answer: RpcAnswer | None = None
        """The answer, once it was there."""

    def __call__(self, piece: bytes) -> bool:
        """Take the next piece; whether the answer is there."""
        self._rest += piece
        if b"\n" in piece:
            *lines, self._rest = self._rest.split(b"\n")
            for line in lines:
                self._take(line.rstrip(b"\r"))
        return self.answer is not None

    def end(self) -> None:
        """Take what came before the end of the stream without an empty line behind it."""
        self._take(self._rest.rstrip(b"\r"))
        self._take(b"")

    def _take(self, line: bytes | bytearray) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
        elif not line and self._data:
            data, self._data = b"\n".join(self._data), []
            self._look(data)

    def _look(self, data: bytes) -> None:
        if not data.strip() or self.answer is not None:
            return
        answer = _decode(data)
        if answer.id == self._number and (answer.result != NOTHING or answer.error is not None):
            self.answer = answer


# --- requests -----------------------------------------------------------------------------------------------


def message(
    version: str, number: int, method: str, params: Mapping[str, Any], call: Call[Any]
) -> dict[str, Any]:
    """A request. `_meta` has what the modern era wants in each, and the trace of the attempt in both."""
    meta: dict[str, Any] = {}
    if version == MODERN:
        meta = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientInfo": CLIENT_INFO,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    if call.span_id:
        meta["traceparent"] = traceparent(call.trail.trace_id, call.span_id)
    sent = {**params, "_meta": meta} if meta else params
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": sent}


def welcome_params() -> dict[str, Any]:
    """What `initialize` says: the newest revision of its era, and that we offer nothing."""
    return {"protocolVersion": HANDSHAKES[0], "capabilities": {}, "clientInfo": CLIENT_INFO}


def headers(version: str, method: str, tool: str = "", session: str = "") -> dict[str, str]:
    """The headers of a request; `version` is `""` for `initialize`, which negotiates it."""
    chosen = {"Accept": ACCEPT}
    if version:
        chosen["MCP-Protocol-Version"] = version
    if session:
        chosen["Mcp-Session-Id"] = session
    if version == MODERN:
        chosen["Mcp-Method"] = method
        if tool:
            chosen["Mcp-Name"] = header_value(tool)
    return chosen


def argument_headers(schema: Any, arguments: Mapping[str, Any]) -> dict[str, str]:
    """The arguments that the tool's schema wants in headers as well (`x-mcp-header`), for balancers."""
    chosen = {}
    for name, value in arguments.items():
        described = properties(schema).get(name)
        token = described.get("x-mcp-header") if isinstance(described, dict) else None
        if isinstance(token, str) and _TOKEN.fullmatch(token) and isinstance(value, str | int):
            text = str(value).lower() if isinstance(value, bool) else str(value)
            chosen[f"Mcp-Param-{token}"] = header_value(text)
    return chosen


def header_value(text: str) -> str:
    """A text as a header can hold it: as it is, or in base64 where the protocol wants that."""
    if _HEADER_SAFE.fullmatch(text) and not _BASE64.fullmatch(text):
        return text
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


def properties(schema: Any) -> dict[str, Any]:
    """The arguments a tool's schema describes, by name; none if it is no schema."""
    described = schema.get("properties") if isinstance(schema, dict) else None
    return described if isinstance(described, dict) else {}


def is_session(name: str) -> bool:
    """Whether a session may be called so (visible ASCII), or there is none."""
    return re.fullmatch(r"[\x21-\x7e]{0,512}", name) is not None


def is_tool_name(name: str) -> bool:
    """Whether a tool may be called so (2026-07-28, tools)."""
    return re.fullmatch(r"[A-Za-z0-9_.\-/]{1,128}", name) is not None
