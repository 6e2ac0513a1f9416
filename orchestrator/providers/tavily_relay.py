"""Maps, crawls, researches and feedback: passed on to Tavily as they are, under keys of ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from orchestrator import limits
from orchestrator.errors import InvalidRequest, ProviderProtocolError, TaskNotFound, UrlRefused
from orchestrator.events import FREE, Cost
from orchestrator.model import Call, Found
from orchestrator.providers import tavily_relay_wire as wire
from orchestrator.providers.key_pool import KeyPool
from orchestrator.providers.tavily_tasks import Task, TaskIds
from orchestrator.providers.upstream import Reply, Upstream, trace_headers
from orchestrator.providers.upstream_faults import reading_answer, status_fault
from orchestrator.relays import FEEDBACK, OF_PAGES, RESEARCH, RESEARCH_STATUS, RelayAnswer, RelayRequest
from orchestrator.via import via_headers

NAME = "tavily"

NO_TASK = "Research task not found"
"""Tavily's own words for a task that is not there."""


class TavilyRelay:
    """One call, one answer. `tasks` makes the ids of researches, and knows them again."""

    def __init__(
        self, upstream: Upstream, base_url: str, keys: KeyPool, tasks: TaskIds, installation: str
    ) -> None:
        self._upstream = upstream
        self._base_url = base_url
        self._keys = keys
        self._tasks = tasks
        self._installation = installation

    async def __call__(self, call: Call[RelayRequest]) -> Found[RelayAnswer]:
        """Pass the request on.

        Raises TaskNotFound for an id that is none or another client's, UrlRefused, InvalidRequest where
        Tavily finds the request invalid, ProviderError for everything else.
        """
        request, client = call.request, call.principal.client if call.principal else ""
        task = self._task(request, client)
        used: list[str] = []

        async def ask(authorization: str) -> Reply:
            used[:] = [authorization]
            return await self._send(call, authorization, task)

        reply = await self._with_key(task, ask)
        if request.is_streamed:
            return Found(answer=RelayAnswer(content={}), provider=NAME, assumed=wire.estimate(request))
        with reading_answer(NAME):
            answer, cost = wire.read(reply.body, request, is_pending=reply.status == 202)
        if request.operation == RESEARCH:
            answer = self._named(answer, used[0], client)
        elif request.operation == RESEARCH_STATUS:
            answer = _called(answer, request.task)
        assumed = wire.estimate(request) if request.operation == RESEARCH else FREE
        return Found(answer=answer, provider=NAME, cost=cost, assumed=assumed)

    def estimate(self, request: RelayRequest) -> Cost:
        """The most that the request can be expected to cost."""
        return wire.estimate(request)

    def _task(self, request: RelayRequest, client: str) -> Task | None:
        """The task a request is about, `None` if it is about none that has a key of its own."""
        if request.operation == RESEARCH_STATUS:
            task = self._tasks.read(request.task, client)
            if task is None:
                raise TaskNotFound(NO_TASK)
            return task
        if request.operation == FEEDBACK:
            return self._tasks.read(request.body.get("request_id", ""), client)
        return None

    async def _with_key(self, task: Task | None, ask: Callable[[str], Awaitable[Reply]]) -> Reply:
        if task is None:
            return await self._keys.call(ask)
        return await self._keys.call_with(lambda key: self._tasks.key_of(key) == task.key, ask)

    async def _send(self, call: Call[RelayRequest], authorization: str, task: Task | None) -> Reply:
        request, limit_s = call.request, None
        via = via_headers(call, self._installation)
        headers = {"Authorization": authorization, **trace_headers(call), **via}
        url = self._base_url + wire.PATHS[request.operation]
        if request.operation == RESEARCH_STATUS:
            assert task is not None
            url += f"{task.id}?include_usage=true" if request.wants_usage else task.id
            reply = await self._upstream.get(url, headers=headers)
        else:
            body = wire.body(request)
            if task is not None:
                body["request_id"] = task.id
            if request.operation in OF_PAGES:
                _, limit_s = wire.TIMEOUT_S
            if request.is_streamed and request.sink is not None:
                reply = await self._upstream.post_for_stream(
                    url, headers=headers, body=body, limit_s=limits.STREAM_S_MAX, sink=request.sink
                )
            else:
                reply = await self._upstream.post_json(url, headers=headers, body=body, limit_s=limit_s)
        return _checked(reply, request)

    def _named(self, answer: RelayAnswer, authorization: str, client: str) -> RelayAnswer:
        """The answer to a new research, with the id by which its client can ask for it."""
        given = answer.content.get("request_id")
        task_id = self._tasks.issue(given, authorization, client) if isinstance(given, str) else None
        if task_id is None:
            raise ProviderProtocolError(
                f"{NAME} began a research and gave it no id.", provider=NAME, reason="bad_shape"
            )
        return _called(answer, task_id)


def _called(answer: RelayAnswer, task_id: str) -> RelayAnswer:
    return msgspec.structs.replace(answer, content={**answer.content, "request_id": task_id})


def _checked(reply: Reply, request: RelayRequest) -> Reply:
    """The reply if it is an answer.

    Whether the request is right is for Tavily to say, so its refusal is the caller's; whether our key is, is
    not the caller's affair.
    """
    status, operation = reply.status, request.operation
    expected = {RESEARCH: (200, 201), RESEARCH_STATUS: (200, 202)}.get(operation, (200,))
    if status in expected:
        return reply
    if status in (400, 422):
        raise InvalidRequest(f"Tavily refuses this request to {operation} as invalid.")
    if status == 403 and operation in OF_PAGES:
        raise UrlRefused("url: Tavily does not support this URL.")
    if status == 404 and operation == RESEARCH_STATUS:
        raise TaskNotFound(NO_TASK)
    if status == 404 and operation == FEEDBACK:
        raise TaskNotFound("request_id: Tavily knows no answer of this id.")
    raise status_fault(reply, NAME)
