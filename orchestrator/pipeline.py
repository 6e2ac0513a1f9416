"""THE order of the stages, written once, with the reason at each line.

    search    callers · validate · cache · flights · fill · fallback
    extract   callers · validate · pages · fallback
    callers   record · deadline · authenticate · concurrency · rate_limit
    pages     for each page: cache · flights · fill · batch
    flights   single_flight in the process, shared_flight between processes if there are several
    fallback  for each provider:
              retry · circuit_breaker · budget · attempt · timeout · validate_result · provider

Where a stage stands is an argument, not a habit; docs/decisions/0002-stage-order.md has the longer ones.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence, Sized

import msgspec

from orchestrator import limits
from orchestrator.budget_seed import seed_budgets
from orchestrator.canonical import page_key, search_key
from orchestrator.circuit_sharing import CircuitSharing
from orchestrator.events import Cost
from orchestrator.fallback import Fallback, Step
from orchestrator.filters.attempt import AttemptFilter
from orchestrator.filters.authenticate import AuthenticateFilter, Doorkeeper
from orchestrator.filters.budget import BudgetFilter, BudgetPolicy
from orchestrator.filters.cache import CacheFillStage, CacheFilter, CachePolicy
from orchestrator.filters.circuit_breaker import Circuit, CircuitBreakerFilter, CircuitPolicy
from orchestrator.filters.concurrency import ConcurrencyFilter, ConcurrencyPolicy
from orchestrator.filters.deadline import EXTRACT_POLICY_S, DeadlineFilter, extract_total_s
from orchestrator.filters.public_address import PublicAddressFilter
from orchestrator.filters.rate_limit import RateLimitFilter, RateLimitPolicy
from orchestrator.filters.record import RecordFilter
from orchestrator.filters.retry import RetryFilter, RetryPolicy
from orchestrator.filters.shared_flight import SharedFlightFilter
from orchestrator.filters.single_flight import SingleFlightFilter
from orchestrator.filters.timeout import TimeoutFilter
from orchestrator.filters.validate import ValidateFilter, check_extract, check_search
from orchestrator.filters.validate_result import ValidateResultFilter
from orchestrator.history import spent
from orchestrator.model import (
    AnswerT,
    Call,
    ExtractAnswer,
    ExtractRequest,
    Found,
    RequestT,
    Response,
    SearchAnswer,
    SearchRequest,
)
from orchestrator.per_url import PageBatch, PerUrl
from orchestrator.ports import (
    BudgetStore,
    Cache,
    CircuitBoard,
    Clock,
    FactSink,
    FlightStore,
    NameResolver,
    Provider,
    ProviderTiming,
    RateLimitStore,
    ReportStore,
)
from orchestrator.service import Filter, Service, stack


class Policies(msgspec.Struct, frozen=True, kw_only=True):
    """Every choice an operator may make about the pipeline; the defaults live with their mechanisms.

    `timing` is for providers that bring none of their own.
    """

    deadline_s: float = limits.DEADLINE_S
    cache: CachePolicy = CachePolicy()
    concurrency: ConcurrencyPolicy = ConcurrencyPolicy()
    rate_limit: RateLimitPolicy = RateLimitPolicy()
    retry: RetryPolicy = RetryPolicy()
    circuit: CircuitPolicy = CircuitPolicy()
    budget: BudgetPolicy = BudgetPolicy()
    timing: ProviderTiming = ProviderTiming()


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What the pipeline is made of: implementations of ports. `providers` is the chain, in order.

    `floor` names the provider that only stands in for the others, `""` if none does. `doorkeeper` knows the
    callers; the default has no keys and knows the local operator alone. `flights` and
    `circuits` are what this process shares with others, `None` if there are none. Of `budgets` a later one
    counts while those before it are out of reach. Without `names` the hosts of pages are judged by their
    spelling alone.
    """

    clock: Clock
    facts: FactSink
    caches: Sequence[Cache]
    rate_limits: RateLimitStore
    providers: Sequence[Provider]
    floor: str = ""
    flights: FlightStore | None = None
    circuits: CircuitBoard | None = None
    budgets: Sequence[BudgetStore] = ()
    doorkeeper: Doorkeeper = Doorkeeper()
    names: NameResolver | None = None


class Pipeline:
    """The two services of the gateway, built once, and what must be waited for when they end."""

    def __init__(self, parts: Parts, policies: Policies) -> None:
        self._parts = parts
        self._policies = policies
        self.doorkeeper = parts.doorkeeper
        self.circuits: Mapping[str, Circuit] = {
            provider.name: Circuit(provider.name, parts.clock, parts.facts, policies.circuit)
            for provider in parts.providers
        }
        self._room = ConcurrencyFilter(policies.concurrency)
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self._flying: list[Sized] = []
        self.search: Service[SearchRequest, Response] = self._search()
        self.extract: Service[ExtractRequest, Response] = self._extract()
        if parts.circuits is not None:
            # Last: what is under way may still have something to tell.
            self._closers.append(CircuitSharing(parts.circuits, self.circuits).aclose)

    def _search(self) -> Service[SearchRequest, Response]:
        clock, policies = self._parts.clock, self._policies
        cache = CacheFilter[SearchRequest](
            self._parts.caches, clock, search_key, lambda request: request.query
        )
        fill = CacheFillStage[SearchRequest](self._parts.caches, clock, policies.cache)
        chain = self._search_chain()
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
            ValidateFilter[SearchRequest](check_search),
            # Outside single-flight: a hit never queues.
            cache,
            # Around the work: one flight per key, detached from whoever began it.
            *self._flights(SingleFlightFilter[SearchRequest](), cache),
            # Inside the flights, so that the answer is kept even if everybody has left; it encodes once for
            # all.
            service=lambda call: fill(call, lambda inner: _best(chain, inner)),
        )

    def _extract(self) -> Service[ExtractRequest, Response]:
        clock, policies = self._parts.clock, self._policies
        cache = CacheFilter[ExtractRequest](
            self._parts.caches, clock, page_key, lambda request: request.urls[0]
        )
        fill = CacheFillStage[ExtractRequest](self._parts.caches, clock, policies.cache)
        chain: Service[ExtractRequest, tuple[Found[ExtractAnswer], ...]] = self._extract_chain()
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
            ValidateFilter[ExtractRequest](check_extract),
            service=PerUrl(page),
        )

    def _search_chain(self) -> Fallback[SearchRequest, SearchAnswer]:
        steps = [
            Step[SearchRequest, SearchAnswer](
                provider=provider.name,
                service=self._guarded(
                    provider, provider.search_estimate, provider.search, self._search_limit(provider)
                ),
                reserve_s=self._timing(provider).search_reserve_s,
                is_floor=provider.name == self._parts.floor,
            )
            for provider in self._parts.providers
            if "search" in provider.operations
        ]
        return Fallback(steps, self._parts.clock, _search_again_if_empty, remainders_max=1)

    def _extract_chain(self) -> Fallback[ExtractRequest, ExtractAnswer]:
        steps = [
            Step[ExtractRequest, ExtractAnswer](
                provider=provider.name,
                service=self._guarded(
                    provider, provider.extract_estimate, provider.extract, self._extract_limit(provider)
                ),
                reserve_s=self._timing(provider).extract_reserve_s,
            )
            for provider in self._parts.providers
            if "extract" in provider.operations
        ]
        return Fallback(steps, self._parts.clock, _extract_what_failed, remainders_max=len(steps))

    def _guarded(
        self,
        provider: Provider,
        estimate: Callable[[RequestT], Cost],
        service: Service[RequestT, Found[AnswerT]],
        limit_s: Callable[[RequestT], float],
    ) -> Service[RequestT, Found[AnswerT]]:
        """One provider behind its own stages."""
        name, clock = provider.name, self._parts.clock
        return stack(
            # Outermost: each retry passes the breaker anew, and an open circuit is final, so the chain moves
            # on.
            RetryFilter[RequestT, Found[AnswerT]](name, clock, self._policies.retry),
            # Around the attempt: it sees every one; a call it does not let through is no attempt.
            CircuitBreakerFilter[RequestT, Found[AnswerT]](self.circuits[name]),
            # Around the attempt: a call that may not be paid is none. Inside the breaker: what that refuses
            # is free.
            *self._budget(name, estimate),
            # Around the timeout and the judgement, so that slow and useless answers are failed attempts.
            AttemptFilter[RequestT, AnswerT](name, clock, estimate),
            # Around the judgement too: an answer is not there until it is looked at.
            TimeoutFilter[RequestT, Found[AnswerT]](name, clock, limit_s),
            # Next to the provider: what it makes of an answer is what everybody outside sees.
            ValidateResultFilter[RequestT, AnswerT](provider.schemes),
            service=service,
        )

    def _timing(self, provider: Provider) -> ProviderTiming:
        return provider.timing or self._policies.timing

    def _search_limit(self, provider: Provider) -> Callable[[SearchRequest], float]:
        timing = self._timing(provider)
        return lambda request: timing.search_advanced_s if request.depth == "advanced" else timing.search_s

    def _extract_limit(self, provider: Provider) -> Callable[[ExtractRequest], float]:
        timing = self._timing(provider)
        return lambda _request: timing.extract_s

    def _flights(
        self, flight: SingleFlightFilter[RequestT], cache: CacheFilter[RequestT]
    ) -> list[Filter[RequestT, Response]]:
        """The flight of the process and, inside it, so that one call of each process asks, that of all."""
        self._closers.append(flight.aclose)
        self._flying.append(flight)
        if self._parts.flights is None:
            return [flight]
        return [flight, SharedFlightFilter(self._parts.flights, self._parts.clock, cache.look_again)]

    def _budget(
        self, provider: str, estimate: Callable[[RequestT], Cost]
    ) -> list[Filter[RequestT, Found[AnswerT]]]:
        """The budget of a provider that has one; others spend no time on it."""
        policy, parts = self._policies.budget, self._parts
        if not policy.accounts(provider) and policy.window(provider) is None:
            return []
        return [
            BudgetFilter[RequestT, AnswerT](
                provider,
                parts.clock,
                parts.facts,
                estimate,
                stores=parts.budgets,
                rate_limits=parts.rate_limits,
                policy=policy,
            )
        ]

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

    async def begin(self, reports: ReportStore) -> None:
        """Before the first call: let budgets know what was spent before. Waits for two seconds at most."""
        await seed_budgets(self._parts.budgets, self._policies.budget, reports, self._parts.clock)

    async def aclose(self) -> None:
        """Wait for the flights and batches under way. New calls must not come in any more."""
        for close in self._closers:
            await close()


async def _best(
    chain: Service[SearchRequest, tuple[Found[SearchAnswer], ...]], call: Call[SearchRequest]
) -> Found[SearchAnswer]:
    """The first answer of the chain that has results, else the first. It costs all that was spent."""
    found = await chain(call)
    best = next((one for one in found if one.answer.results), found[0])
    return msgspec.structs.replace(best, cost=spent(call.trail.events))


def _search_again_if_empty(request: SearchRequest, answer: SearchAnswer) -> SearchRequest | None:
    return None if answer.results or not request.limit else request


def _extract_what_failed(request: ExtractRequest, answer: ExtractAnswer) -> ExtractRequest | None:
    urls = tuple(failure.url for failure in answer.failures)
    return msgspec.structs.replace(request, urls=urls) if urls else None
