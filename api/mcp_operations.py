"""What `/mcp` promises to HTTP; what is said inside is the protocol's business (docs/mcp.md)."""

from __future__ import annotations

from api.openapi.operation import Answer, Body, Operation
from orchestrator import errors

_RPC_ERROR = {
    "type": "object",
    "description": "A JSON-RPC error: the body is no request.",
    "properties": {
        "jsonrpc": {"const": "2.0"},
        "id": {"type": ["string", "integer", "null"]},
        "error": {
            "type": "object",
            "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
            "required": ["code", "message"],
        },
    },
    "required": ["jsonrpc", "id", "error"],
}

_MESSAGE = {
    "type": "object",
    "properties": {
        "jsonrpc": {"const": "2.0"},
        "method": {"type": "string"},
        "id": {"type": ["string", "integer"]},
        "params": {"type": "object"},
    },
    "required": ["jsonrpc", "method"],
}

_CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "web_search", "arguments": {"query": "how do tides work"}},
}

OPERATIONS = (
    Operation(
        method="POST",
        path="/mcp",
        id="mcp",
        tag="MCP",
        summary="One message of the Model Context Protocol",
        description="Streamable HTTP without sessions, revisions 2024-11-05 to 2026-07-28: a client of MCP "
        "speaks it, nobody writes it by hand. Tools need the scopes of what they do.",
        body=Body(_MESSAGE, "One JSON-RPC 2.0 request or notification, no batch.", {"a search": _CALL}),
        answers=(
            Answer(
                {"type": "object", "description": "A JSON-RPC answer."},
                "The answer, at once or as a stream with the progress before it.",
                also={"text/event-stream": {"description": "Events with JSON-RPC messages."}},
            ),
            Answer(None, "A notification was taken.", 202),
        ),
        errors=(errors.InvalidRequest,),
        refusals=("not_acceptable", "not_running"),
        error_schemas={400: _RPC_ERROR, 404: _RPC_ERROR},
    ),
)
