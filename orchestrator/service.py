"""A service is an asynchronous function from a call to an answer; a filter answers or asks the next one.

Client, cache, breaker, retry: all have that shape, so all compose, and the order is a list (pipeline.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeAlias, TypeVar

from orchestrator.model import Call, RequestT

ResponseT = TypeVar("ResponseT")

Service: TypeAlias = Callable[[Call[RequestT]], Awaitable[ResponseT]]
"""An asynchronous function from a `Call` to an answer. Raises GatewayError; cancellation passes through."""


class Filter(Protocol[RequestT, ResponseT]):
    """A stage: it may answer, refuse, change the call on the way in or the answer on the way out."""

    async def __call__(self, call: Call[RequestT], service: Service[RequestT, ResponseT]) -> ResponseT:
        """Handle the call, asking `service` (all stages further in) as often as the stage sees fit."""


def stack(
    *filters: Filter[RequestT, ResponseT], service: Service[RequestT, ResponseT]
) -> Service[RequestT, ResponseT]:
    """Nest the filters around the service; the first is the outermost."""
    for stage in reversed(filters):
        service = _around(stage, service)
    return service


def _around(
    stage: Filter[RequestT, ResponseT], inner: Service[RequestT, ResponseT]
) -> Service[RequestT, ResponseT]:
    def service(call: Call[Any]) -> Awaitable[ResponseT]:
        # Not a coroutine of its own: the stage's coroutine is handed on, which spares a frame per stage.
        return stage(call, inner)

    return service
