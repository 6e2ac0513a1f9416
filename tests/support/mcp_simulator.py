"""A remote MCP server, simulated on the wire: for what no library's server would do.

It speaks the era it is told to, as JSON or as a stream of events; its one tool answers what it is told to.
Servers made with real libraries are in tests/support/mcp_remote_server.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from typing_extensions import override

from tests.support.faults import Fault
from tests.support.http_server import Answer, Request, Wire
from tests.support.mcp_remote_server import results
from tests.support.simulator import Recorded, Simulator, html_answer, json_answer, run

MODERN = "2026-07-28"
EVENTS = {"Content-Type": "text/event-stream"}

SCHEMA = {
    "type": "object",
    "properties": {"query": {"type": "string"}, "limit": {"type": "integer", "maximum": 8}},
    "required": ["query"],
}
"""What the tool `find` says of its arguments."""


class McpSimulator(Simulator):
    """One tool `find` at `url`. What it does otherwise is said by its attributes, at any time."""

    def __init__(self, *, delay_s: float = 0.0, port: int = 0) -> None:
        super().__init__(delay_s=delay_s, port=port)
        self.era = "both"
        """`both`, `modern` or `handshake`."""
        self.version = "2025-11-25"
        """The revision a handshake agrees on."""
        self.is_streaming = False
        self.is_endless = False
        """A stream is not ended behind its answer."""
        self.before: list[Mapping[str, Any]] = []
        """What a stream holds before the answer."""
        self.tools: dict[str, dict[str, Any]] = {"find": SCHEMA}
        self.tools_per_page = 100
        self.has_sessions = True
        self.sessions: set[str] = set()
        self.token = ""
        """What the header Authorization must say; `""` demands nothing."""
        self.result: dict[str, Any] | None = None
        """What a call of the tool answers, `None` for results."""
        self.rpc_error: dict[str, Any] | None = None
        """With what a call of the tool is refused."""
        self.status = 200
        """The status of that refusal."""
        self.answer_id: Any = None
        """The id that answers have, `None` for that of their request."""

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"{self.base_url}/mcp"

    def methods(self) -> list[str]:
        """The methods of all calls so far; `DELETE` for the end of a session."""
        return [call.json["method"] if call.json else call.method for call in self.calls]

    @override
    def respond(self, request: Request, body: Any) -> Answer:
        if self.token and request.headers.get("authorization") != self.token:
            return json_answer({"error": "unauthorized"}, 401)
        if request.method == "DELETE":
            self.sessions.discard(request.headers.get("mcp-session-id", ""))
            return Answer(status=204)
        if request.path != "/mcp" or not isinstance(body, Mapping):
            return html_answer(404)
        if body["method"].startswith("notifications/"):
            return Answer(status=202)
        is_modern = request.headers.get("mcp-protocol-version") == MODERN
        if is_modern and self.era == "handshake":
            return _refusal("server-error", -32600, "Bad Request: Unsupported protocol version", 400)
        if not is_modern and self.era == "modern":
            return _refusal(body["id"], -32022, "Unsupported protocol version", 400)
        if body["method"] == "initialize":
            return self._welcome(body)
        if not is_modern and self.has_sessions and request.headers.get("mcp-session-id") not in self.sessions:
            return _refusal("server-error", -32600, "Session not found", 404)
        return self._answer_to(body)

    @override
    def error(self, request: Request, fault: Fault) -> Answer:
        headers = {"Content-Type": "text/html", "Location": f"{self.base_url}/elsewhere"}
        return Answer(status=fault.code, headers=headers, body=fault.text.encode())

    @override
    def vary(self, answer: Answer, name: str, body: Any) -> Answer:
        return answer

    @override
    def texts(self, request: Request, body: Any) -> str:
        params = body.get("params", {}) if isinstance(body, Mapping) else {}
        return str(params.get("arguments", {}).get("query", ""))

    @override
    async def _misbehave(self, fault: Fault, request: Request, call: Recorded, wire: Wire) -> None:
        if self.is_endless and fault.kind == "none":
            answer = self.respond(request, call.json)
            if answer.headers == EVENTS:
                await wire.stream(answer)
                return
            wire.send(answer)
            return
        await super()._misbehave(fault, request, call, wire)

    def _welcome(self, body: Mapping[str, Any]) -> Answer:
        result = {"protocolVersion": self.version, "capabilities": {"tools": {}}, "serverInfo": {"name": "s"}}
        answer = self._sent(body, result)
        if not self.has_sessions:
            return answer
        session = f"session-{len(self.sessions) + self.count}"
        self.sessions.add(session)
        return msgspec.structs.replace(answer, headers={**answer.headers, "Mcp-Session-Id": session})

    def _answer_to(self, body: Mapping[str, Any]) -> Answer:
        params = body["params"]
        if body["method"] == "tools/list":
            begin = int(params.get("cursor", 0))
            end = begin + self.tools_per_page
            described = [{"name": name, "inputSchema": schema} for name, schema in self.tools.items()]
            page: dict[str, Any] = {"tools": described[begin:end]}
            return self._sent(body, page | ({"nextCursor": str(end)} if end < len(described) else {}))
        if self.rpc_error is not None:
            return json_answer({"jsonrpc": "2.0", "id": body["id"], "error": self.rpc_error}, self.status)
        if self.result is not None:
            return self._sent(body, self.result)
        arguments = params["arguments"]
        found = results(arguments.get("query", "tides"), arguments.get("limit", 5))
        return self._sent(body, {"content": [], "structuredContent": {"results": found}})

    def _sent(self, body: Mapping[str, Any], result: Mapping[str, Any]) -> Answer:
        number = body["id"] if self.answer_id is None else self.answer_id
        answer = {"jsonrpc": "2.0", "id": number, "result": result}
        if not self.is_streaming:
            return json_answer(answer)
        events = b"".join(_event(one) for one in (*self.before, answer))
        return Answer(headers=EVENTS, body=b": a comment\n\n" + events)


def _refusal(number: Any, code: int, message: str, status: int) -> Answer:
    error = {"code": code, "message": message}
    return json_answer({"jsonrpc": "2.0", "id": number, "error": error}, status)


def _event(message: Mapping[str, Any]) -> bytes:
    return b"id: 7\r\nevent: message\r\ndata: " + msgspec.json.encode(message) + b"\r\n\r\n"


if __name__ == "__main__":
    run(McpSimulator)
