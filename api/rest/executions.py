"""`/executions/{id}`: one execution as the list of its events, and what they mean."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import msgspec
from starlette.routing import Route

from api.openapi.operation import Answer, Operation, Shape
from api.rest.plain_routes import json_response
from api.rest.visitor import visitor_of
from orchestrator.errors import EventLogUnavailable, NotFound
from orchestrator.events import CallerAuthenticated, Envelope
from orchestrator.projections.executions import Explanation, explain

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from orchestrator.events import Frame
    from orchestrator.gateway import Gateway
    from orchestrator.ports import ReportStore

NOT_YET_S = 1.0
"""An answered execution is in the log when the recorder has read the journal, well within a second."""

NOT_YET_AGE_S_MAX = 3_600.0
"""chosen: who asks for an older execution is not told to ask again; a recorder that is further behind has
been an alert for an hour (docs/operations/alerts.md)."""

EXAMPLE_ID = "019ad1c4-7c1e-7d10-8a3c-5f0f3a6c2b11"


class Account(msgspec.Struct, frozen=True):
    """One execution: what it means, and the events that say so, in order; docs/events.md has them all."""

    execution_id: str
    explanation: Explanation
    events: tuple[Envelope, ...]


_EVENT = Shape(
    name="RecordedEvent",
    kind=Envelope,
    fields={
        "event": {
            "type": "object",
            "description": "The fact; `type` is its name with its version.",
            "properties": {"type": {"type": "string", "pattern": r"^amos\.[a-z_.]+\.v[0-9]+$"}},
            "required": ["type"],
            "additionalProperties": True,
        }
    },
)

OPERATIONS = (
    Operation(
        method="GET",
        path="/executions/{id}",
        id="execution",
        tag="Executions",
        summary="One execution, explained",
        description="Callers see their own executions; with the scope `reports` everybody's. One that was "
        "just answered may not be there yet: 404 with `Retry-After: 1`.",
        path_parameters={
            "id": {
                "description": "The id of the execution, with or without hyphens.",
                "schema": {"type": "string"},
                "example": EXAMPLE_ID,
            }
        },
        answers=(
            Answer(
                Shape(
                    name="Account",
                    kind=Account,
                    fields={"events": {"items": _EVENT}},
                ),
                "What happened.",
                headers=("Cache-Control",),
            ),
        ),
        errors=(NotFound, EventLogUnavailable),
        refusals=("not_found",),
    ),
)


def routes(gateway: Gateway) -> list[Route]:
    """The routes of this file."""
    return [Route("/executions/{id}", _execution(gateway))]


def _execution(gateway: Gateway) -> Callable[[Request], Awaitable[Response]]:
    async def execution(request: Request) -> Response:
        principal = await gateway.principal_for(visitor_of(request.scope).caller())
        whose = None if "reports" in principal.scopes else principal.client
        return json_response(await answer(gateway.reports, request.path_params["id"], whose))

    return execution


async def answer(store: ReportStore, execution_id: str, client: str | None = None) -> Account:
    """The execution's explanation and events. Raises NotFound, EventLogUnavailable.

    To a `client` the executions of others do not exist; `None` sees all.
    """
    execution_id = canonical(execution_id)
    frames = await store.execution(execution_id)
    if not frames or (client is not None and client != client_of(frames)):
        raise NotFound(
            "There is no such execution in the event log. One just answered appears within a second.",
            retry_after_s=NOT_YET_S if may_come(execution_id, time.time()) else None,
        )
    return account(execution_id, frames)


def client_of(frames: Sequence[Frame]) -> str:
    """Whose execution it is, `""` if nobody was known."""
    events = (envelope.event for frame in frames for envelope in frame.events)
    return next((event.client for event in events if isinstance(event, CallerAuthenticated)), "")


def account(execution_id: str, frames: Sequence[Frame]) -> Account:
    """What is shown of an execution, from all its frames."""
    events = sorted((envelope for frame in frames for envelope in frame.events), key=lambda e: e.seq)
    return Account(execution_id, explain(events), tuple(events))


def may_come(execution_id: str, now: float) -> bool:
    """Whether the id was made so lately that its execution may still be on its way into the log.

    `now` is epoch seconds. An id that tells no time, which is none of ours, never comes.
    """
    found = uuid.UUID(execution_id)
    made_at = (found.int >> 80) / 1_000  # RFC 9562, 5.7: 48 bits of milliseconds
    return found.version == 7 and now - NOT_YET_AGE_S_MAX < made_at < now + NOT_YET_AGE_S_MAX


def canonical(execution_id: str) -> str:
    """The id as it is recorded, also from one written in capitals or without hyphens. Raises NotFound."""
    try:
        return str(uuid.UUID(execution_id))
    except ValueError as error:
        raise NotFound("There is no such execution: this is not an execution id.") from error
