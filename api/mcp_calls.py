"""What every tool is made of: its description, the call of the gateway behind it, and its result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import msgspec

from api.mcp_schemas import Schema
from api.rest.dialects import tavily
from api.rest.dialects.fields import build
from orchestrator.errors import InvalidRequest
from orchestrator.gateway import Gateway
from orchestrator.history import closing
from orchestrator.model import Call, Caller, ExtractRequest, RequestT, Response, SearchRequest

DOOR = "mcp"
"""How events call the way in."""

CALLER_KEY = "amos.caller"
"""Where in the ASGI scope the caller waits for the tool that is called."""

PATIENCE_S = 10.0
"""After which common MCP clients stop reading; the gateway leaves a part of it for the way back."""

ARGUMENT_CHARS_SHOWN_MAX = 40
"""chosen: an unknown argument is named in the error if it is short enough to be a name."""

KindT = TypeVar("KindT", SearchRequest, ExtractRequest)
Arguments = dict[str, Any]
Watch = Callable[[Call[Any], Awaitable[Response]], Awaitable[Response]]
"""Waits for a call of the gateway, telling what it does meanwhile if the client wants to know."""


class Visit(msgspec.Struct, frozen=True):
    """One call of a tool: where to ask, on whose behalf, and how to wait."""

    gateway: Gateway
    caller: Caller
    watch: Watch


class Result(msgspec.Struct, frozen=True):
    """What a tool found, as JSON and as the value it stands for; `meta` is for programs, not for models."""

    text: str
    content: dict[str, Any]
    meta: dict[str, Any] | None = None


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """One tool: what a client is told about it, and what it does. `run` raises GatewayError."""

    name: str
    title: str
    description: str
    arguments: Schema
    answer: Schema
    run: Callable[[Visit, Arguments], Awaitable[Result]]

    def listed(self) -> dict[str, Any]:
        """The tool as `tools/list` shows it. All of them only read, and read the open world."""
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": self.arguments,
            "outputSchema": self.answer,
            "annotations": {
                "title": self.title,
                "readOnlyHint": True,
                "openWorldHint": True,
            },
        }


async def search_body(visit: Visit, request: SearchRequest) -> bytes:
    """The body of `POST /search` for this request. Raises GatewayError."""
    call, response = await _ask(visit, request, visit.gateway.search)
    return _rendered(partial(tavily.render_search, request.query), call, response)


async def extract_body(visit: Visit, request: ExtractRequest) -> bytes:
    """The body of `POST /extract` for this request, within `PATIENCE_S`. Raises GatewayError."""
    hurried = msgspec.structs.replace(request, timeout_s=PATIENCE_S)
    call, response = await _ask(visit, hurried, visit.gateway.extract)
    return _rendered(tavily.render_extract, call, response)


def request_of(kind: type[KindT], arguments: Arguments) -> KindT:
    """The request that the arguments make; a null is an argument not given. Raises InvalidRequest."""
    return build(kind, {name: value for name, value in arguments.items() if value is not None})


def check_names(arguments: Arguments, schema: Schema) -> None:
    """Refuse arguments there are not, and the lack of one that is needed. Raises InvalidRequest."""
    known = schema["properties"]
    for name in arguments:
        if name not in known:
            shown = name if len(name) <= ARGUMENT_CHARS_SHOWN_MAX and name.isidentifier() else "arguments"
            raise InvalidRequest(
                f"{shown}: there is no such argument. There are {', '.join(known)}.", field=shown
            )
    check_needed(arguments, schema)


def check_needed(arguments: Arguments, schema: Schema) -> None:
    """Refuse the lack of an argument that is needed. Raises InvalidRequest."""
    for name in schema["required"]:
        if arguments.get(name) is None:
            raise InvalidRequest(f"{name}: this argument is needed.", field=name)


def listed_urls(arguments: Arguments) -> Arguments:
    """The arguments with one URL for `urls` made a list of one, which models forget."""
    urls = arguments.get("urls")
    return {**arguments, "urls": [urls]} if isinstance(urls, str) else arguments


async def _ask(
    visit: Visit, request: RequestT, service: Callable[[Call[RequestT]], Awaitable[Response]]
) -> tuple[Call[RequestT], Response]:
    call = visit.gateway.open(request, visit.caller)
    return call, await visit.watch(call, service(call))


def _rendered(render: Callable[..., bytes], call: Call[Any], response: Response) -> bytes:
    return render(
        response,
        execution_id=call.trail.execution_id,
        duration_s=closing(call.trail.events).duration_s,
        wants_usage=False,
    )
