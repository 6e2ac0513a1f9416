"""`/search` and `/extract`: from bytes to a call of the gateway, and from its answer to bytes.

Plain ASGI callables: a cached answer spends its time in the server, and every object between would show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.rest.answer_headers import NO_STORE, REVALIDATE, answer_headers, correlation, matches, weak_etag
from api.rest.dialects import tavily
from api.rest.exchange import NO_PAGE, NO_SNIFFING, read_body, send_answer
from api.rest.limit_headers import limit_headers
from api.rest.problems import method_not_allowed, problem_of, render
from api.rest.visitor import visitor_of
from orchestrator.errors import UNRECORDED, GatewayError
from orchestrator.events import RequestCompleted

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from orchestrator.gateway import Gateway
    from orchestrator.model import Call

DIALECT = "tavily"

ACCEPT_QUERY = (b"accept-query", b"application/json")

_SEARCH_METHODS = b"GET, HEAD, OPTIONS, POST, QUERY"
_EXTRACT_METHODS = b"OPTIONS, POST"


class SearchEndpoint:
    """`POST` for Tavily's clients, `GET` with `q` for people, `QUERY` (RFC 10008) for a safe POST."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one search. Raises Problem and InvalidRequest for what is no search at all."""
        method = scope["method"]
        if method in ("POST", "QUERY"):
            asked = tavily.parse_search(await read_body(receive))
        elif method in ("GET", "HEAD"):
            asked = tavily.parse_search_query(scope["query_string"])
        else:
            await send_options(send, method, _SEARCH_METHODS)
            return
        visitor = visitor_of(scope)
        caller = visitor.caller(method=method, target="/search", dialect=DIALECT, credential=asked.credential)
        call = self._gateway.open(asked.request, caller)
        try:
            response = await self._gateway.search(call)
        except GatewayError as error:
            await send_failure(scope, send, error, call)
            return
        closing = closing_of(call)
        headers = answer_headers(call, response, closing, visitor.request_id)
        body = tavily.render_search(
            asked.request.query,
            response,
            execution_id=call.trail.execution_id,
            duration_s=closing.duration_s,
            wants_usage=asked.wants_usage,
        )
        if method == "POST":
            headers.append(NO_STORE)
            await send_answer(send, 200, headers, body)
        else:
            etag = weak_etag(response.fragment)
            is_known = matches(visitor.headers.get(b"if-none-match"), etag)
            # Only what a page can embed needs to say that it is no script; nobody embeds a POST.
            headers += [REVALIDATE, NO_SNIFFING, NO_PAGE, (b"etag", etag), ACCEPT_QUERY]
            await send_answer(
                send, 304 if is_known else 200, headers, body, is_head=is_known or method == "HEAD"
            )


class ExtractEndpoint:
    """`POST` only: reading pages has no short form."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one extract. Raises Problem and InvalidRequest for what is no extract at all."""
        if scope["method"] != "POST":
            await send_options(send, scope["method"], _EXTRACT_METHODS)
            return
        asked = tavily.parse_extract(await read_body(receive))
        visitor = visitor_of(scope)
        caller = visitor.caller(
            method="POST", target="/extract", dialect=DIALECT, credential=asked.credential
        )
        call = self._gateway.open(asked.request, caller)
        try:
            response = await self._gateway.extract(call)
        except GatewayError as error:
            await send_failure(scope, send, error, call)
            return
        closing = closing_of(call)
        headers = answer_headers(call, response, closing, visitor.request_id)
        headers.append(NO_STORE)
        body = tavily.render_extract(
            response,
            execution_id=call.trail.execution_id,
            duration_s=closing.duration_s,
            wants_usage=asked.wants_usage,
        )
        await send_answer(send, 200, headers, body)


async def send_failure(scope: Scope, send: Send, error: GatewayError, call: Call[Any]) -> None:
    """The failure of an execution: unlike any other it can say what was tried, and where to read on.

    Not one that is only counted: there is nothing to read.
    """
    problem, visitor = problem_of(error), visitor_of(scope)
    trail = None if isinstance(error, UNRECORDED) else call.trail
    is_keyless = visitor.headers.get(b"x-tavily-access-mode") == b"keyless"
    headers, body = render(problem, scope["path"], trail, is_keyless=is_keyless)
    headers += (*limit_headers(call.trail), *correlation(call.trail, visitor.request_id))
    await send_answer(send, problem.status, headers, body, is_head=scope["method"] == "HEAD")


async def send_options(send: Send, method: str, allowed: bytes) -> None:
    """Answer OPTIONS. Raises Problem (405) for any other method."""
    if method != "OPTIONS":
        raise method_not_allowed(method, allowed)
    await send_answer(send, 200, [(b"allow", allowed), NO_STORE], b"")


def closing_of(call: Call[Any]) -> RequestCompleted:
    """The last word on an answered call, which has its times."""
    for envelope in reversed(call.trail.events):
        if isinstance(envelope.event, RequestCompleted):
            return envelope.event
    raise AssertionError("an answered call has its last word")
