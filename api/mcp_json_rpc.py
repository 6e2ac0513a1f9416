"""What a message must be to be answered as a request of JSON-RPC 2.0, whichever way it came."""

from __future__ import annotations

from typing import Literal

import msgspec

PARSE_ERROR = -32_700
INVALID_REQUEST = -32_600
"""JSON-RPC 2.0, 5.1."""


class Fault(msgspec.Struct, frozen=True):
    """Why a message is no request: a code of JSON-RPC and a sentence."""

    code: int
    message: str


class _Envelope(msgspec.Struct):
    """A JSON-RPC request or notification, as far as it must be right to be answered as one."""

    jsonrpc: Literal["2.0"]
    method: str
    id: str | int | msgspec.UnsetType = msgspec.UNSET
    params: dict[str, msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


_NO_REQUEST = Fault(
    INVALID_REQUEST, "The message must be one JSON-RPC 2.0 request or notification, no batch."
)
NO_JSON = Fault(PARSE_ERROR, "The message is not valid JSON.")

_decode = msgspec.json.Decoder(_Envelope).decode
_encode = msgspec.json.Encoder().encode


def fault_of(message: bytes) -> Fault | None:
    """Why it is no request, `None` if it is one. Parameters are looked at by whoever answers it."""
    try:
        _decode(message)
    except msgspec.ValidationError:
        return _NO_REQUEST
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return NO_JSON
    return None


def error_body(fault: Fault) -> bytes:
    """The answer to a message whose id nobody knows."""
    return _encode({"jsonrpc": "2.0", "id": None, "error": {"code": fault.code, "message": fault.message}})
