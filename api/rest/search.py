"""Searches and extracts of every dialect: from bytes to a call of the gateway, and from its answer to bytes.

Plain ASGI callables: a cached answer spends its time in the server, and every object between would show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from api.rest.answer_headers import NO_STORE, REVALIDATE, answer_headers, correlation, matches, weak_etag
from api.rest.dialects import tavily
from api.rest.exchange import NO_PAGE, NO_SNIFFING, read_body, send_answer
from api.rest.limit_headers import limit_headers
from api.rest.problems import method_not_allowed, problem_of, render, status_in
from api.rest.several import search_all
from api.rest.visitor import visitor_of
from orchestrator.errors import UNRECORDED, GatewayError
from orchestrator.history import closing

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from api.rest.dialects.dialect import Dialect, Questions
    from orchestrator.gateway import Gateway
    from orchestrator.model import Call, Caller

ACCEPT_QUERY = (b"accept-query", b"application/json")

_BODILESS = ("GET", "HEAD")
_SAFE = ("GET", "HEAD", "QUERY")


class SearchEndpoint:
    """A search in one dialect. `target` is the route as events name it, native by default."""

    def __init__(self, gateway: Gateway, dialect: Dialect = tavily.SEARCH, target: str = "/search") -> None:
        self._gateway = gateway
        self._dialect = dialect
        self._target = target
        self._name = dialect.name
        self._parsers = dict(dialect.parsers)
        self._render = dialect.render
        self._takes_several = dialect.render_several is not None
        self._extra = (ACCEPT_QUERY,) if "QUERY" in dialect.parsers else ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one search. Raises Problem and InvalidRequest for what is no search at all."""
        method = scope["method"]
        parse = self._parsers.get(method)
        if parse is None:
            await send_options(send, method, self._dialect.methods)
            return
        body = b"" if method in _BODILESS else await read_body(receive)
        asked = parse(body, scope["query_string"])
        visitor = visitor_of(scope)
        caller = visitor.caller(
            method=method, target=self._target, dialect=self._name, credential=asked.credential
        )
        if self._takes_several:
            questions = cast("Questions", asked)
            if len(questions.requests) > 1:
                await self._answer_several(scope, send, questions, caller)
                return
        call = self._gateway.open(asked.request, caller)
        try:
            response = await self._gateway.search(call)
        except GatewayError as error:
            await send_failure(scope, send, self._dialect.in_its_words(error), call)
            return
        done = closing(call.trail.events)
        headers = answer_headers(call, response, done, visitor.request_id)
        body = self._render(asked, response, execution_id=call.trail.execution_id, duration_s=done.duration_s)
        if method not in _SAFE:
            headers.append(NO_STORE)
            await send_answer(send, 200, headers, body)
        else:
            etag = weak_etag(response.fragment)
            is_known = matches(visitor.headers.get(b"if-none-match"), etag)
            # Only what a page can embed needs to say that it is no script; nobody embeds a POST.
            headers += [REVALIDATE, NO_SNIFFING, NO_PAGE, (b"etag", etag), *self._extra]
            await send_answer(
                send, 304 if is_known else 200, headers, body, is_head=is_known or method == "HEAD"
            )

    async def _answer_several(self, scope: Scope, send: Send, asked: Questions, caller: Caller) -> None:
        """Answer a question that holds several searches; its headers are those of the first answered."""
        several = await search_all(self._gateway, asked.requests, caller)
        if several.best is None:
            await send_failure(scope, send, self._dialect.in_its_words(several.failure), several.calls[0])
            return
        call, response = several.best
        headers = answer_headers(call, response, closing(call.trail.events), visitor_of(scope).request_id)
        headers.append(NO_STORE)
        assert self._dialect.render_several is not None
        await send_answer(send, 200, headers, self._dialect.render_several(asked, several.outcomes))


class ExtractEndpoint:
    """An extract in one dialect. `target` is the route as events name it, native by default."""

    def __init__(self, gateway: Gateway, dialect: Dialect = tavily.EXTRACT, target: str = "/extract") -> None:
        self._gateway = gateway
        self._dialect = dialect
        self._target = target

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one extract. Raises Problem and InvalidRequest for what is no extract at all."""
        dialect = self._dialect
        parse = dialect.parsers.get(scope["method"])
        if parse is None:
            await send_options(send, scope["method"], dialect.methods)
            return
        asked = parse(await read_body(receive), scope["query_string"])
        visitor = visitor_of(scope)
        caller = visitor.caller(
            method=scope["method"], target=self._target, dialect=dialect.name, credential=asked.credential
        )
        call = self._gateway.open(asked.request, caller)
        try:
            response = await self._gateway.extract(call)
        except GatewayError as error:
            await send_failure(scope, send, dialect.in_its_words(error), call)
            return
        done = closing(call.trail.events)
        headers = answer_headers(call, response, done, visitor.request_id)
        headers.append(NO_STORE)
        body = dialect.render(
            asked, response, execution_id=call.trail.execution_id, duration_s=done.duration_s
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
    status = status_in(problem, scope["path"])
    await send_answer(send, status, headers, body, is_head=scope["method"] == "HEAD")


async def send_options(send: Send, method: str, allowed: bytes) -> None:
    """Answer OPTIONS. Raises Problem (405) for any other method."""
    if method != "OPTIONS":
        raise method_not_allowed(method, allowed)
    await send_answer(send, 200, [(b"allow", allowed), NO_STORE], b"")
