"""The last net: whatever is raised behind it becomes an answer in the dialect of the path, and nothing more.

Routes send only finished answers, so an exception means that none has begun.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import uuid_utils
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from api.rest.exchange import ClientLeft, send_answer
from api.rest.problems import Problem, problem_of, render, status_in
from api.rest.visitor import Visitor, fold, trace_of
from orchestrator.errors import GatewayError

_log = logging.getLogger("amos.http")


Page: TypeAlias = Callable[[Scope, Problem], Awaitable["ASGIApp | None"]]
"""Makes a page of a problem for whoever is looked after by pages; `None` for everybody else."""


async def _no_page(_scope: Scope, _problem: Problem) -> ASGIApp | None:
    return None


class Failures:
    """Answers in place of a route that raised. `page` is asked first."""

    def __init__(self, app: ASGIApp, page: Page = _no_page) -> None:
        self._app = app
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the inner application does, or with what kept it from answering."""
        try:
            await self._app(scope, receive, send)
        except ClientLeft:
            return
        except (Problem, GatewayError, HTTPException) as error:
            problem = problem_of(error)
            shown = await self._page(scope, problem)
            if shown is None:
                await self._answer(scope, send, problem)
            else:
                await shown(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - the outermost frame we own: nothing beyond it may learn more
            _log.error("unexpected failure", exc_info=error)
            await self._answer(scope, send, problem_of(error))

    async def _answer(self, scope: Scope, send: Send, problem: Problem) -> None:
        visitor = Visitor(fold(scope["headers"]), "")
        request_id = visitor.request_id or str(uuid_utils.uuid7()).encode()
        trace_id, _ = trace_of(visitor.headers.get(b"traceparent", b""))
        headers, body = render(problem, scope["path"], request_id=request_id.decode(), trace_id=trace_id)
        headers.append((b"x-request-id", request_id))
        status = status_in(problem, scope["path"])
        await send_answer(send, status, headers, body, is_head=scope["method"] == "HEAD")
