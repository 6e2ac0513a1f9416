"""Tavily's wire format for what is passed on to it: the caller's fields go through, ours are added."""

from __future__ import annotations

import msgspec

from api.rest.dialects.dialect import Asked
from api.rest.dialects.fields import check_depth, decode_object, parameters
from api.rest.dialects.tavily import sorted_out, why
from orchestrator.errors import InvalidRequest
from orchestrator.model import Response
from orchestrator.relays import RESEARCH_STATUS, RelayRequest


def parse_relay(operation: str, body: bytes) -> Asked[RelayRequest]:
    """The request in a JSON body. Raises InvalidRequest, whatever the bytes."""
    _, fields, credential, wants_usage = sorted_out(decode_object(body), frozenset())
    check_depth(fields)
    request = RelayRequest(operation=operation, body=fields, wants_usage=wants_usage)
    return Asked(request, credential, wants_usage)


def parse_status(task: str, query_string: bytes) -> Asked[RelayRequest]:
    """The question how a research is getting on. Raises InvalidRequest."""
    pairs = dict(parameters(query_string))
    given = pairs.get("include_usage", "false").lower()
    if given not in ("true", "false"):
        raise InvalidRequest("include_usage: expected true or false.", field="include_usage")
    request = RelayRequest(operation=RESEARCH_STATUS, task=task, wants_usage=given == "true")
    return Asked(request, None, given == "true")


def render_relay(response: Response, *, execution_id: str) -> bytes:
    """The JSON body: Tavily's answer, and why it is this one."""
    comma = b"," if response.fragment else b""
    return (
        b"{"
        + response.fragment
        + comma
        + b'"amos":'
        + msgspec.json.encode(why(response, execution_id))
        + b"}"
    )
