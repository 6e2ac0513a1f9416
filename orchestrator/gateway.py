"""What the outside may call: search, extract, reports, health.

Every surface holds one Gateway and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from orchestrator import limits
from orchestrator.budgets import Budgets
from orchestrator.bulkhead import Bulkhead
from orchestrator.cache_admin import CacheAdmin
from orchestrator.errors import (
    GatewayError,
    KeysUnavailable,
    NotOffered,
    PermissionDenied,
    ReportsBehind,
    Unauthenticated,
)
from orchestrator.executions import ExecutionQuery, FoundExecutions
from orchestrator.filters.authenticate import require
from orchestrator.filters.circuit_breaker import STATES
from orchestrator.health import ComponentHealth, provider_health, record_health, usage_health
from orchestrator.key_admin import KeyAdmin
from orchestrator.model import Call, Caller, ExtractRequest, RequestT, Response, SearchRequest, Trail
from orchestrator.pipeline import Pipeline
from orchestrator.ports import Clock, ReportStore
from orchestrator.principals import Principal
from orchestrator.provider_admin import ProviderAdmin
from orchestrator.providers.guard import Complaint
from orchestrator.record_watch import RecordWatch
from orchestrator.recorder import Recorder
from orchestrator.relays import RelayRequest
from orchestrator.reports.metrics import GAUGE, NEEDS, Family, families, gauge
from orchestrator.usage import ClientUsage, Usage
from orchestrator.warming import Warming

SEARCHES_MAX = 2
"""chosen: searches over executions that a process has under way. More at once find no more, and the event
loop comes late: measured with a text no call has, by 13 ms (p99) with two, by 14 to 53 with four."""

SEARCH_WAIT_S = 2.0
"""chosen: a core has done a hundred searches by then; who waits longer learns more from an error."""

Probe = Callable[[], ComponentHealth]
"""Looks at a component without waiting."""

Figures = Callable[[], Iterable[Family]]
"""Measures the process without waiting."""


class Gateway:
    """The running gateway. Built by a composition, used by every surface, safe for concurrent calls."""

    def __init__(
        self,
        pipeline: Pipeline,
        recorder: Recorder,
        reports: ReportStore,
        clock: Clock,
        *,
        unconfigured: Callable[[], Mapping[str, str]],
        complaints: Callable[[], Mapping[str, Complaint]] = dict,
        probes: Sequence[Probe] = (),
        keys: KeyAdmin | None = None,
        budgets: Budgets | None = None,
        cache: CacheAdmin | None = None,
        watch: RecordWatch | None = None,
        figures: Figures = tuple,
        recorder_lag_s: Callable[[], float] = float,
        warming: Warming | None = None,
        providers: ProviderAdmin | None = None,
        usage: Usage | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._recorder = recorder
        self._clock = clock
        self._probes = tuple(probes)
        self._unconfigured = unconfigured
        self._complaints = complaints
        self._started_at = clock.now()
        self._watch = watch
        self._recorder_lag_s = recorder_lag_s
        self._figures = figures
        self._searches = Bulkhead(
            SEARCHES_MAX,
            wait_s=SEARCH_WAIT_S,
            refusal="Too many searches over executions are under way. Retry in a moment.",
        )
        self.reports = reports
        self.keys = keys
        """What may be done to API keys; `None` in a gateway that has none."""
        self.providers = providers
        """What may be done to the list of providers; `None` in a gateway whose list is fixed."""
        self.budgets = budgets
        """What may be spent; `None` in a gateway that does not count it."""
        self.cache = cache
        """What may be done to the cache; likewise."""
        self.warming = warming
        """What fetches answers ahead of their callers; `None` in a gateway without a record to go by."""
        self.usage = usage
        """What each client has used; likewise."""

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

    async def relay(self, call: Call[RelayRequest]) -> Response:
        """Pass a request on to the provider that takes such. Raises GatewayError."""
        return await self._pipeline.relay(call)

    async def usage_for(self, caller: Caller) -> tuple[ClientUsage, Trail]:
        """What the caller has used this month, and the trail with what its limiter said.

        Raises Unauthenticated, also for callers without a key; RateLimited, EventLogUnavailable. Nothing is
        recorded, but a refusal at the door is counted.
        """
        if self.usage is None:
            raise NotOffered("This gateway keeps no record to add up.")
        principal = await self._client_for(caller)
        call = msgspec.structs.replace(self.open(None, caller), principal=principal)
        await self._pipeline.charge(call)
        return await self.usage.of(principal.client), call.trail

    async def executions(self, query: ExecutionQuery, caller: Caller) -> FoundExecutions:
        """Past executions that fit: everybody's with the scope `reports`, else the caller's own.

        Raises Unauthenticated, also for callers without a key; InvalidRequest, EventLogUnavailable,
        Overloaded if too many search at once.
        """
        principal = await self._client_for(caller)
        if "reports" not in principal.scopes:
            if query.client not in {None, principal.client}:
                return FoundExecutions(searched_since=query.since)
            query = msgspec.structs.replace(query, client=principal.client)
        async with self._searches.place():
            return await self.reports.executions(query)

    async def _client_for(self, caller: Caller) -> Principal:
        """Who is asking, for what is each client's own: those without a key have one name together."""
        principal = await self.principal_for(caller)
        if principal.address:
            self.refused("no_credential")
            raise Unauthenticated("For this an API key is needed.", reason="no_credential")
        return principal

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

    async def metrics(self) -> tuple[Family, ...]:
        """What the whole log adds up to, for all instances. Raises EventLogUnavailable, ReportsBehind."""
        totals = await self.reports.totals(NEEDS)
        now = self._clock.now()
        lag_s = max(totals.standing.lag_s(now), self._recorder_lag_s())
        if lag_s > limits.REPORTS_LAG_S_MAX:
            raise ReportsBehind(
                f"What was recorded in the last {lag_s:.0f} s is not counted yet, so these would be figures "
                "of the past. /health says why."
            )
        return families(totals.sums, totals.standing, now)

    def figures(self) -> tuple[Family, ...]:
        """What is measured of this process, now; nothing of it is in the log."""
        pipeline = self._pipeline
        states = [
            ((name, state), int(circuit.state == state))
            for name, circuit in pipeline.circuits.items()
            for state in STATES
        ]
        return (
            *self._figures(),
            gauge("amos_calls_under_way", "Searches and extracts this process works on.", pipeline.calls),
            gauge("amos_calls_max", "How many of them it takes on at once.", pipeline.calls_max),
            gauge("amos_flights_under_way", "Different calls that are being fetched.", pipeline.flights),
            Family(
                "amos_circuit_state",
                "1 for the state of a provider's circuit as this process sees it.",
                GAUGE,
                ("provider", "state"),
                tuple(states),
            ),
            *(() if self.budgets is None else self.budgets.figures()),
            *self._provider_figures(),
        )

    def _provider_figures(self) -> Iterator[Family]:
        rooms = self._pipeline.rooms.items()
        for name, help_, values in (
            (
                "under_way",
                "Calls to a provider that this process has under way.",
                [r.calls for _, r in rooms],
            ),
            ("max", "How many of them there may be at the moment.", [r.calls_max for _, r in rooms]),
            ("waiting", "Calls that wait for their turn at it.", [r.waiting for _, r in rooms]),
        ):
            rows = tuple(((provider,), value) for (provider, _), value in zip(rooms, values, strict=True))
            yield Family(f"amos_provider_calls_{name}", help_, GAUGE, ("provider",), rows)

    async def health(self) -> tuple[ComponentHealth, ...]:
        """Every component: stores, providers in the order of the chain, providers without credentials.

        Waits for some hundredths of a second at most, whatever state the database is in.
        """
        seen = None if self._watch is None else await self._watch.look()
        complaints = self._complaints()
        providers = [
            provider_health(circuit, None if seen is None else seen.providers.get(name), complaints.get(name))
            for name, circuit in self._pipeline.circuits.items()
        ]
        missing = [
            ComponentHealth(
                name=f"provider:{name}", status="unconfigured", since=self._started_at, detail=why
            )
            for name, why in self._unconfigured().items()
        ]
        record = () if seen is None else record_health(seen, self._clock.now())
        return (*(probe() for probe in self._probes), *record, *self._usages(), *providers, *missing)

    def _usages(self) -> tuple[ComponentHealth, ...]:
        budgets = self.budgets
        if budgets is None:
            return ()
        looks = budgets.looks.values()
        return tuple(usage_health(look, is_off=budgets.is_off(look.fact)) for look in looks)

    def not_ready(self) -> tuple[str, ...]:
        """Why calls should go to another instance for now, as sentences; empty when ready."""
        return tuple(found.detail for probe in self._probes if (found := probe()).status == "down")
