"""What the outside may call: search, extract, reports, health.

Every surface holds one Gateway and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec

from orchestrator.errors import GatewayError, KeysUnavailable, PermissionDenied, Unauthenticated
from orchestrator.filters.authenticate import require
from orchestrator.key_admin import KeyAdmin
from orchestrator.model import Call, Caller, ExtractRequest, Principal, RequestT, Response, SearchRequest
from orchestrator.pipeline import Pipeline
from orchestrator.ports import Clock, ReportStore
from orchestrator.recorder import Recorder


class ComponentHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One component as it is now. `status` is `ok`, `degraded`, `down` or `unconfigured`.

    `since` is when it got that way, epoch seconds; `detail` a sentence for people, `""` when all is well;
    `latency_s` how long it took to ask it, `None` if it was not asked.
    """

    name: str
    status: str
    since: float
    detail: str = ""
    latency_s: float | None = None


Probe = Callable[[], ComponentHealth]
"""Looks at a component without waiting."""


class Gateway:
    """The running gateway. Built by a composition, used by every surface, safe for concurrent calls."""

    def __init__(
        self,
        pipeline: Pipeline,
        recorder: Recorder,
        reports: ReportStore,
        clock: Clock,
        *,
        unconfigured: Mapping[str, str],
        probes: Sequence[Probe] = (),
        keys: KeyAdmin | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._recorder = recorder
        self._clock = clock
        self._probes = tuple(probes)
        self._unconfigured = dict(unconfigured)
        self._started_at = clock.now()
        self.reports = reports
        self.keys = keys
        """What may be done to API keys; `None` in a gateway that has none."""

    def open(self, request: RequestT, caller: Caller) -> Call[RequestT]:
        """Begin an execution: give the request its id and trail. Nothing is recorded until it is searched."""
        return Call(
            request=request, caller=caller, trail=self._recorder.open(caller.trace_id), deadline=math.inf
        )

    async def search(self, call: Call[SearchRequest]) -> Response:
        """Answer a search. Raises GatewayError; the call's trail says in both cases what happened."""
        return await self._pipeline.search(call)

    async def extract(self, call: Call[ExtractRequest]) -> Response:
        """Read pages. Raises GatewayError when none could be read for a reason common to all."""
        return await self._pipeline.extract(call)

    async def principal_for(self, caller: Caller, *scopes: str) -> Principal:
        """Who is asking, for surfaces beside search and extract, and that they have these scopes.

        Raises Unauthenticated and PermissionDenied, and counts the refusal; KeysUnavailable.
        """
        try:
            principal, _ = self._pipeline.doorkeeper.identify(caller)
            require(principal, *scopes)
        except Unauthenticated as stranger:
            self.refused(stranger.reason)
            raise
        except PermissionDenied:
            self.refused("missing_scope")
            raise
        except KeysUnavailable as unknowable:
            self.refused(unknowable.code)
            raise
        return principal

    def may(self, caller: Caller, *scopes: str) -> bool:
        """Whether the caller is known and has these scopes; nothing is counted."""
        try:
            require(self._pipeline.doorkeeper.identify(caller)[0], *scopes)
        except GatewayError:
            return False
        return True

    def refused(self, reason: str) -> None:
        """Count a call that a surface turned away before it was one; `reason` is one of a few short codes."""
        self._recorder.count_refusal(reason)

    async def health(self) -> tuple[ComponentHealth, ...]:
        """Every component: stores, providers in the order of the chain, providers without credentials."""
        providers = [
            _circuit_health(name, circuit.state, circuit.since, circuit.reason, circuit.retry_after_s)
            for name, circuit in self._pipeline.circuits.items()
        ]
        missing = [
            ComponentHealth(
                name=f"provider:{name}", status="unconfigured", since=self._started_at, detail=why
            )
            for name, why in self._unconfigured.items()
        ]
        return (*(probe() for probe in self._probes), *providers, *missing)

    def not_ready(self) -> tuple[str, ...]:
        """Why calls should go to another instance for now, as sentences; empty when ready."""
        return tuple(found.detail for probe in self._probes if (found := probe()).status == "down")


def _circuit_health(name: str, state: str, since: float, why: str, retry_after_s: float) -> ComponentHealth:
    if state == "closed":
        return ComponentHealth(name=f"provider:{name}", status="ok", since=since)
    detail = f"Circuit {state} after {why}; it may be called again in {retry_after_s:.0f} s."
    return ComponentHealth(
        name=f"provider:{name}", status="down" if state == "open" else "degraded", since=since, detail=detail
    )
