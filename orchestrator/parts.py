"""What a pipeline is built from: the operator's choices, and the implementations of ports."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from orchestrator import limits
from orchestrator.budget_policy import BudgetPolicy
from orchestrator.budget_ports import BudgetStore
from orchestrator.cache_policy import CachePolicy
from orchestrator.cooldown import CircuitPolicy
from orchestrator.filters.authenticate import Doorkeeper
from orchestrator.filters.concurrency import ConcurrencyPolicy
from orchestrator.filters.provider_room import ProviderRooms
from orchestrator.filters.rate_limit import RateLimitPolicy
from orchestrator.filters.retry import RetryPolicy
from orchestrator.filters.validate_result import ResultPolicy
from orchestrator.hedging import HedgePolicy
from orchestrator.ports import (
    Cache,
    CircuitBoard,
    Clock,
    FactSink,
    FlightStore,
    NameResolver,
    Provider,
    ProviderTiming,
    RateLimitStore,
)


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
    rooms: ProviderRooms = ProviderRooms()
    hedge: HedgePolicy = HedgePolicy()
    budget: BudgetPolicy = BudgetPolicy()
    results: ResultPolicy = ResultPolicy()
    timing: ProviderTiming = ProviderTiming()


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What the pipeline is made of: implementations of ports. `providers` is the chain, in order.

    `doorkeeper` knows the callers; the default has no keys and knows the local operator alone. `flights` and
    `circuits` are what this process shares with others, `None` if there are none. `budget` counts
    what is spent; without it nothing is limited. `installation` is what calls to other gateways are marked
    with (via.py), `""` if they are not. Without `names` the hosts of pages are judged by their
    spelling alone. `identity` tells a provider from another one of the same name (`Roster.identity`).
    """

    clock: Clock
    facts: FactSink
    caches: Sequence[Cache]
    rate_limits: RateLimitStore
    providers: Sequence[Provider]
    flights: FlightStore | None = None
    circuits: CircuitBoard | None = None
    budget: BudgetStore | None = None
    doorkeeper: Doorkeeper = Doorkeeper()
    names: NameResolver | None = None
    installation: str = ""
    identity: Callable[[str], str] = str
