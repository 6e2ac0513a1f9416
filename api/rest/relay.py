"""`/map`, `/crawl`, `/research`, `/feedback`: passed on to Tavily as they are (docs/tavily.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from api.rest.answer_headers import NO_STORE, answer_headers
from api.rest.dialects import tavily_relay
from api.rest.dialects.tavily import NAME
from api.rest.exchange import read_body, send_answer
from api.rest.relay_stream import answer_stream
from api.rest.search import send_failure, send_options
from api.rest.visitor import visitor_of
from orchestrator.errors import GatewayError
from orchestrator.history import closing
from orchestrator.relays import CRAWL, FEEDBACK, MAP, RESEARCH

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from api.rest.dialects.dialect import Asked
    from orchestrator.gateway import Gateway
    from orchestrator.relays import RelayRequest


def routes(gateway: Gateway) -> list[Route]:
    """The routes of this file."""
    return [
        *(Route(f"/{one}", RelayEndpoint(gateway, one)) for one in (MAP, CRAWL, RESEARCH, FEEDBACK)),
        Route("/research/{task}", ResearchEndpoint(gateway)),
    ]


class RelayEndpoint:
    """`POST` of one operation."""

    def __init__(self, gateway: Gateway, operation: str) -> None:
        self._gateway = gateway
        self._operation = operation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on. Raises Problem and InvalidRequest for what is none at all."""
        if scope["method"] != "POST":
            await send_options(send, scope["method"], b"OPTIONS, POST")
            return
        asked = tavily_relay.parse_relay(self._operation, await read_body(receive))
        if asked.request.is_streamed:
            await answer_stream(self._gateway, asked, scope, receive, send)
            return
        await _answer(self._gateway, asked, f"/{self._operation}", scope, send)


class ResearchEndpoint:
    """`GET` of a research that was begun."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell how far it is. Raises Problem and InvalidRequest for what asks for none."""
        if scope["method"] not in ("GET", "HEAD"):
            await send_options(send, scope["method"], b"GET, HEAD, OPTIONS")
            return
        asked = tavily_relay.parse_status(scope["path_params"]["task"], scope["query_string"])
        await _answer(self._gateway, asked, "/research/{task}", scope, send)


async def _answer(
    gateway: Gateway, asked: Asked[RelayRequest], target: str, scope: Scope, send: Send
) -> None:
    visitor, method = visitor_of(scope), scope["method"]
    caller = visitor.caller(method=method, target=target, dialect=NAME, credential=asked.credential)
    call = gateway.open(asked.request, caller)
    try:
        response = await gateway.relay(call)
    except GatewayError as error:
        await send_failure(scope, send, error, call)
        return
    headers = answer_headers(call, response, closing(call.trail.events), visitor.request_id)
    headers.append(NO_STORE)
    body = tavily_relay.render_relay(response, execution_id=call.trail.execution_id)
    # Tavily's clients take nothing but 200 for a success, but for a research that is not done yet.
    await send_answer(send, 202 if response.is_pending else 200, headers, body, is_head=method == "HEAD")
