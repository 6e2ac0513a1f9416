"""The chains of providers, one for each operation: each provider behind its own stages.

retry · provider_room · circuit_breaker · budget · attempt · timeout · validate_result · provider

An extract has own_measure after the circuit_breaker. What is passed on has a provider of its own and no
chain: circuit_breaker · own_measure · budget · attempt · timeout · provider.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from orchestrator.cashier import Cashier
from orchestrator.events import Cost
from orchestrator.fallback import Fallback, Step
from orchestrator.filters.attempt import AttemptFilter
from orchestrator.filters.budget import BudgetFilter
from orchestrator.filters.circuit_breaker import Circuit, CircuitBreakerFilter
from orchestrator.filters.deadline import relay_policy_s
from orchestrator.filters.own_measure import OwnMeasureFilter, too_much_passed_on, too_much_read
from orchestrator.filters.provider_room import ProviderRoom
from orchestrator.filters.retry import RetryFilter
from orchestrator.filters.timeout import TimeoutFilter
from orchestrator.filters.validate_result import ValidateResultFilter
from orchestrator.hedging import Hedger
from orchestrator.last_resort import LastResort
from orchestrator.model import (
    AnswerT,
    Call,
    ExtractAnswer,
    ExtractRequest,
    Found,
    RequestT,
    SearchAnswer,
    SearchRequest,
)
from orchestrator.parts import Parts, Policies
from orchestrator.ports import WEB_SCHEMES, Provider, ProviderTiming, RelayProvider
from orchestrator.relaying import Relaying
from orchestrator.relays import RelayAnswer, RelayRequest
from orchestrator.service import Filter, Service, stack


class Chain:
    """Both chains of an installation, and what they share: circuits, and the room at each web provider."""

    def __init__(self, parts: Parts, policies: Policies) -> None:
        self._parts = parts
        self._policies = policies
        self.providers: tuple[Provider, ...] = ()
        """Those that are asked, in order."""
        self.circuits: dict[str, Circuit] = {}
        self.rooms: dict[str, ProviderRoom] = {}
        self.cashier = None if parts.budget is None else Cashier(parts.budget, parts.facts)
        self.use(parts.providers)

    def use(self, providers: Sequence[Provider]) -> None:
        """Ask these providers, in this order, from the next call on; calls under way go on as they began.

        A provider that was asked before keeps its circuit and its room. One of the same name that is another
        object gets new ones: what was seen of the other says nothing about it.
        """
        kept = {one.name for one in providers if one in self.providers}
        circuits = {name: self.circuits[name] for name in kept}
        rooms = {name: self.rooms[name] for name in kept if name in self.rooms}
        self.providers = tuple(providers)
        # In the order of the chain, which is how they are shown.
        self.circuits = {
            one.name: circuits.get(one.name)
            or Circuit(one.name, self._parts.clock, self._parts.facts, self._policies.circuit)
            for one in providers
        }
        self.rooms = {
            one.name: rooms.get(one.name) or self._room(one.name)
            for one in providers
            if one.schemes & WEB_SCHEMES
        }
        offline = [one.name for one in providers if not one.schemes & WEB_SCHEMES]
        # Own documents stand in for the web only if there is a web to stand in for.
        self._floor = offline[0] if offline and self.rooms else ""
        self.searchers = self._search()
        self.readers = self._extract()
        self.relays = {operation: self._relay(one) for operation, one in self._takers().items()}

    async def search(self, call: Call[SearchRequest]) -> tuple[Found[SearchAnswer], ...]:
        """Search with the providers there are now."""
        return await self.searchers(call)

    async def extract(self, call: Call[ExtractRequest]) -> tuple[Found[ExtractAnswer], ...]:
        """Read with the providers there are now."""
        return await self.readers(call)

    async def relay(self, call: Call[RelayRequest]) -> Found[RelayAnswer]:
        """Pass on to the provider that takes such requests now. Raises NotOffered if none does."""
        return await Relaying(self.relays)(call)

    def _search(self) -> LastResort[SearchRequest, SearchAnswer]:
        steps = [
            Step[SearchRequest, SearchAnswer](
                provider=provider.name,
                service=self._guarded(
                    provider,
                    provider.search_estimate,
                    provider.search,
                    self._search_limit(provider),
                    self._search_limit(provider),
                ),
                reserve_s=self._timing(provider).search_reserve_s,
                is_floor=provider.name == self._floor,
                is_ready=self._is_ready(provider.name),
            )
            for provider in self.providers
            if "search" in provider.operations
        ]
        hedge = self._policies.hedge
        # An extract is not hedged: it is long by nature, dear, and its parts fall back page by page.
        hedger = Hedger(hedge, self._parts.clock) if hedge.ratio else None
        return LastResort(
            steps,
            lambda these: Fallback(
                these, self._parts.clock, self._search_again, remainders_max=1, hedger=hedger
            ),
            self._is_passable,
        )

    def _search_again(self, request: SearchRequest, answer: SearchAnswer) -> SearchRequest | None:
        return None if answer.count >= self._policies.results.wanted(request) else request

    def _extract(self) -> LastResort[ExtractRequest, ExtractAnswer]:
        steps = [
            Step[ExtractRequest, ExtractAnswer](
                provider=provider.name,
                service=self._guarded(
                    provider,
                    provider.extract_estimate,
                    provider.extract,
                    self._extract_limit(provider),
                    measures=(OwnMeasureFilter[ExtractRequest, ExtractAnswer](too_much_read),),
                ),
                reserve_s=self._timing(provider).extract_reserve_s,
            )
            for provider in self.providers
            if "extract" in provider.operations
        ]
        return LastResort(
            steps,
            lambda these: Fallback(these, self._parts.clock, _extract_what_failed, remainders_max=len(these)),
            self._is_passable,
        )

    def _takers(self) -> dict[str, RelayProvider]:
        """Who takes what is passed on: the first of the chain for each operation."""
        takers: dict[str, RelayProvider] = {}
        for provider in self.providers:
            if isinstance(provider, RelayProvider):
                takers = dict.fromkeys(provider.relays, provider) | takers
        return takers

    def _relay(self, provider: RelayProvider) -> Fallback[RelayRequest, RelayAnswer]:
        """The provider alone, behind the stages that hold for whatever is asked of it.

        It is not retried, because a second crawl costs as much as the first, and takes no place of a search:
        the places are sized for calls of a second, and this one may take minutes.
        """
        name, clock = provider.name, self._parts.clock
        service: Service[RelayRequest, Found[RelayAnswer]] = stack(
            # How long it takes depends on what is asked for, and says nothing about the provider.
            CircuitBreakerFilter[RelayRequest, Found[RelayAnswer]](self.circuits[name], clock),
            # Next to the circuit, which is that of searches too.
            OwnMeasureFilter[RelayRequest, RelayAnswer](too_much_passed_on),
            *self._budget(name, provider.relay_estimate),
            AttemptFilter[RelayRequest, RelayAnswer](name, clock, provider.relay_estimate),
            TimeoutFilter[RelayRequest, Found[RelayAnswer]](name, clock, relay_policy_s),
            service=provider.relay,
        )
        step = Step[RelayRequest, RelayAnswer](provider=name, service=service, reserve_s=0.0)
        return Fallback((step,), clock, lambda _request, _answer: None, remainders_max=0)

    def _is_passable(self, provider: str) -> bool:
        circuit = self.circuits.get(provider)  # `None`: it has gone while the call was under way
        return circuit is not None and circuit.is_passable

    def _guarded(
        self,
        provider: Provider,
        estimate: Callable[[RequestT], Cost],
        service: Service[RequestT, Found[AnswerT]],
        limit_s: Callable[[RequestT], float],
        slow_limit_s: Callable[[RequestT], float] | None = None,
        *,
        measures: Sequence[Filter[RequestT, Found[AnswerT]]] = (),
    ) -> Service[RequestT, Found[AnswerT]]:
        """One provider behind its own stages."""
        name, clock = provider.name, self._parts.clock
        return stack(
            # Outermost: each retry passes the breaker anew, and an open circuit is final, so the chain moves
            # on.
            RetryFilter[RequestT, Found[AnswerT]](name, clock, self._policies.retry),
            # Inside the retry: who waits for the next attempt holds no place. Around all that is held or
            # reserved for a call: who waits holds nothing but a request. Around the breaker: that looks at a
            # call when its turn has come, and whoever waits when the circuit opens is let go to be refused.
            *((self.rooms[name],) if name in self.rooms else ()),
            # Around the attempt: it sees every one; a call it does not let through is no attempt.
            CircuitBreakerFilter[RequestT, Found[AnswerT]](self.circuits[name], clock, slow_limit_s),
            # Next to the breaker: it says which failures that is not to count.
            *measures,
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

    def _room(self, provider: str) -> ProviderRoom:
        circuit = self.circuits[provider]
        room = ProviderRoom(
            provider,
            self._parts.clock,
            self._policies.rooms.of(provider),
            is_open=lambda: circuit.state != "closed",
        )
        circuit.when_opened(room.let_go)
        return room

    def _is_ready(self, provider: str) -> Callable[[], bool]:
        """Whether a call to the provider would be let through at once."""
        circuit, room = self.circuits[provider], self.rooms.get(provider)
        return lambda: circuit.state == "closed" and (room is None or room.has_place)

    def _timing(self, provider: Provider) -> ProviderTiming:
        return provider.timing or self._policies.timing

    def _search_limit(self, provider: Provider) -> Callable[[SearchRequest], float]:
        timing = self._timing(provider)
        return lambda request: timing.search_advanced_s if request.depth == "advanced" else timing.search_s

    def _extract_limit(self, provider: Provider) -> Callable[[ExtractRequest], float]:
        timing = self._timing(provider)
        return lambda _request: timing.extract_s

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
                estimate,
                cashier=self.cashier,
                rate_limits=parts.rate_limits,
                policy=policy,
            )
        ]


def _extract_what_failed(request: ExtractRequest, answer: ExtractAnswer) -> ExtractRequest | None:
    urls = tuple(failure.url for failure in answer.failures)
    return msgspec.structs.replace(request, urls=urls) if urls else None
