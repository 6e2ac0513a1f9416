"""THE order of the stages, written once, with the reason at each line.

    search    callers · validate · cache · flights · fill · fallback
    extract   callers · validate · pages · fallback
    relay     callers · validate · address · the provider that takes it (chain.py), and no other
    callers   record · deadline · authenticate · concurrency · rate_limit
    pages     for each page: cache · flights · fill · batch
    flights   single_flight in the process, shared_flight between processes if there are several
    fallback  last_resort around it; for each provider (chain.py):
              retry · provider_room · circuit_breaker · (extract: own_measure) · budget · attempt · timeout ·
              validate_result · provider

Where a stage stands is an argument, not a habit; docs/decisions/0002-stage-order.md has the longer ones.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence, Sized

import msgspec

from orchestrator.asked import options_of
from orchestrator.canonical import page_key, search_key
from orchestrator.chain import Chain
from orchestrator.circuit_sharing import CircuitSharing
from orchestrator.filters.authenticate import AuthenticateFilter
from orchestrator.filters.cache import CacheFilter
from orchestrator.filters.cache_fill import CacheFillStage
from orchestrator.filters.circuit_breaker import Circuit
from orchestrator.filters.concurrency import ConcurrencyFilter
from orchestrator.filters.deadline import (
    EXTRACT_POLICY_S,
    RELAY_POLICY_S,
    DeadlineFilter,
    extract_total_s,
    relay_total_s,
)
from orchestrator.filters.provider_room import ProviderRoom
from orchestrator.filters.public_address import PublicAddressFilter
from orchestrator.filters.rate_limit import RateLimitFilter
from orchestrator.filters.record import RecordFilter
from orchestrator.filters.shared_flight import SharedFlightFilter
from orchestrator.filters.single_flight import SingleFlightFilter
from orchestrator.filters.validate import ValidateFilter, check_extract, check_search
from orchestrator.filters.validate_relay import check_relay
from orchestrator.filters.validate_result import ResultPolicy
from orchestrator.history import spent
from orchestrator.model import (
    Call,
    ExtractAnswer,
    ExtractRequest,
    Found,
    RequestT,
    Response,
    SearchAnswer,
    SearchRequest,
)
from orchestrator.parts import Parts, Policies
from orchestrator.per_url import PageBatch, PerUrl
from orchestrator.ports import Provider
from orchestrator.relaying import RelayAddressFilter, response_of
from orchestrator.relays import RelayRequest
from orchestrator.service import Filter, Service, stack


class Pipeline:
    """The services of the gateway, built once, and what must be waited for when they end.

    `refresh` is the inner part of a search, for a checked request whose call has its `cache_key`: it fetches
    and keeps the answer, whatever the cache has.
    """

    def __init__(self, parts: Parts, policies: Policies) -> None:
        self._parts = parts
        self._policies = policies
        self.doorkeeper = parts.doorkeeper
        self._chain = Chain(parts, policies)
        self._room = ConcurrencyFilter(policies.concurrency)
        self.charge = RateLimitFilter(parts.rate_limits, policies.rate_limit).charge
        """Counts one call of its principal, for surfaces beside the services. Raises RateLimited."""
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self._flying: list[Sized] = []
        self._sharing: CircuitSharing | None = None
        self.search: Service[SearchRequest, Response] = self._search()
        self.extract: Service[ExtractRequest, Response] = self._extract()
        self._relays = {operation: self._relay(policy_s) for operation, policy_s in RELAY_POLICY_S.items()}
        if self._chain.cashier is not None:
            # After the flights: what they have begun is still to be settled.
            self._closers.append(self._chain.cashier.aclose)
        if parts.circuits is not None:
            self._sharing = CircuitSharing(parts.circuits, self._chain.circuits, parts.identity)
            # Last: what is under way may still have something to tell.
            self._closers.append(self._sharing.aclose)

    def use(self, providers: Sequence[Provider]) -> None:
        """Ask these providers, in this order, from the next call on (see `Chain.use`)."""
        self._chain.use(providers)
        if self._sharing is not None:
            self._sharing.use(self._chain.circuits)

    def _search(self) -> Service[SearchRequest, Response]:
        clock, policies = self._parts.clock, self._policies
        cache = CacheFilter[SearchRequest](
            self._parts.caches,
            clock,
            search_key,
            lambda request: request.query,
            options=options_of,
            policy=policies.cache,
            refresh_s=policies.deadline_s,
        )
        self._closers.append(cache.aclose)
        fill = CacheFillStage[SearchRequest](self._parts.caches, clock, policies.cache)
        chain = self._chain.search
        # Around the work: one flight per key, detached from whoever began it. Inside it the answer is kept
        # even if everybody has left, and encoded once for all.
        self.refresh: Service[SearchRequest, Response] = stack(
            *self._flights(SingleFlightFilter[SearchRequest](), cache),
            service=lambda call: fill(call, lambda inner: _best(chain, inner, policies.results)),
        )
        return stack(
            # Outermost, so that it sees every end: refusals, timeouts, cancellations.
            RecordFilter(clock, self._parts.facts),
            # Around everything that can wait.
            DeadlineFilter[SearchRequest](clock, lambda _request: policies.deadline_s, policies.deadline_s),
            # Before the limiter, which counts per principal. It looks at the scope too: a stage of its own
            # would cost every hit a frame, and both refuse before anything is charged.
            AuthenticateFilter(self._parts.doorkeeper, "search"),
            # As soon as the caller is known, because room is divided by caller; before the limiter, because a
            # call there is no room for is not charged.
            self._room,
            # Before validation: a flood of invalid requests is a flood.
            RateLimitFilter(self._parts.rate_limits, policies.rate_limit),
            # Before the cache: its key is made of clean values only.
            ValidateFilter[SearchRequest](check_search, self._parts.installation),
            # Outside single-flight: a hit never queues, and whoever shares a failure may have an old answer.
            cache,
            service=self.refresh,
        )

    def _extract(self) -> Service[ExtractRequest, Response]:
        clock, policies = self._parts.clock, self._policies
        cache = CacheFilter[ExtractRequest](
            self._parts.caches,
            clock,
            page_key,
            lambda request: request.urls[0],
            policy=policies.cache,
            refresh_s=EXTRACT_POLICY_S,
        )
        self._closers.append(cache.aclose)
        fill = CacheFillStage[ExtractRequest](self._parts.caches, clock, policies.cache)
        chain: Service[ExtractRequest, tuple[Found[ExtractAnswer], ...]] = self._chain.extract
        if self._parts.names is not None:
            # Inside the cache and around the batch: only what is fetched is looked up, all of it at once.
            chain = stack(PublicAddressFilter(self._parts.names), service=chain)
        batch = PageBatch(chain)
        self._closers.append(batch.aclose)
        page = stack(
            cache,
            *self._flights(SingleFlightFilter[ExtractRequest](), cache),
            service=lambda call: fill(call, batch),
        )
        return stack(
            RecordFilter(clock, self._parts.facts),
            DeadlineFilter[ExtractRequest](clock, extract_total_s, EXTRACT_POLICY_S),
            AuthenticateFilter(self._parts.doorkeeper, "extract"),
            self._room,
            RateLimitFilter(self._parts.rate_limits, policies.rate_limit),
            ValidateFilter[ExtractRequest](check_extract, self._parts.installation),
            service=PerUrl(page),
        )

    def _relay(self, policy_s: float) -> Service[RelayRequest, Response]:
        """For requests that are passed on as they are. They are not cached: each is a piece of work.

        They need the scope `extract`, whose holders send strangers to read pages already; what that may cost
        is for budgets to say.
        """
        names = self._parts.names
        return stack(
            RecordFilter(self._parts.clock, self._parts.facts),
            DeadlineFilter[RelayRequest](self._parts.clock, relay_total_s, policy_s),
            AuthenticateFilter(self._parts.doorkeeper, "extract", serves_anonymous=False),
            self._room,
            RateLimitFilter(self._parts.rate_limits, self._policies.rate_limit),
            ValidateFilter[RelayRequest](check_relay, self._parts.installation),
            # After the limiter, because it looks names up; there is no cache it could stand behind.
            *(() if names is None else (RelayAddressFilter(names),)),
            service=self._relayed,
        )

    async def _relayed(self, call: Call[RelayRequest]) -> Response:
        return await response_of(await self._chain.relay(call))

    async def relay(self, call: Call[RelayRequest]) -> Response:
        """Pass a request on to the provider that takes it."""
        return await self._relays[call.request.operation](call)

    def _flights(
        self, flight: SingleFlightFilter[RequestT], cache: CacheFilter[RequestT]
    ) -> list[Filter[RequestT, Response]]:
        """The flight of the process and, inside it, so that one call of each process asks, that of all."""
        self._closers.append(flight.aclose)
        self._flying.append(flight)
        if self._parts.flights is None:
            return [flight]
        return [flight, SharedFlightFilter(self._parts.flights, self._parts.clock, cache.look_again)]

    @property
    def deadline_s(self) -> float:
        """How long a search may take."""
        return self._policies.deadline_s

    def price(self, request: SearchRequest) -> int:
        """The most that a search can be expected to cost if every provider is asked, in millionths of $1."""
        searchers = (one for one in self._chain.providers if "search" in one.operations)
        return sum(provider.search_estimate(request).usd_micros for provider in searchers)

    @property
    def circuits(self) -> Mapping[str, Circuit]:
        """The circuit of each provider, in the order of the chain, as it is now."""
        return self._chain.circuits

    @property
    def rooms(self) -> Mapping[str, ProviderRoom]:
        """The places at each web provider."""
        return self._chain.rooms

    @property
    def calls(self) -> int:
        """Calls under way in this process."""
        return self._room.calls

    @property
    def calls_max(self) -> int:
        """How many calls it takes on at once."""
        return self._room.calls_max

    @property
    def flights(self) -> int:
        """Different calls that are being fetched: searches, and pages of extracts."""
        return sum(len(flights) for flights in self._flying)

    async def aclose(self) -> None:
        """Wait for the refreshes, flights and batches under way. New calls must not come in any more."""
        for close in self._closers:
            await close()


async def _best(
    chain: Service[SearchRequest, tuple[Found[SearchAnswer], ...]],
    call: Call[SearchRequest],
    policy: ResultPolicy,
) -> Found[SearchAnswer]:
    """The answer of the chain with most results, up to what is enough; the first of equals.

    It costs all that was spent.
    """
    wanted = policy.wanted(call.request)
    best = max(await chain(call), key=lambda one: min(one.answer.count, wanted))
    return msgspec.structs.replace(best, cost=spent(call.trail.events))
