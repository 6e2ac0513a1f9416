"""From settings to a running gateway: the one place that knows the concrete classes of every room."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import NamedTuple

from api.budgets import budget_store, running_budgets
from api.cache import InstanceCache, instance_cache
from api.keys import key_ring, key_store, pepper
from api.loop_lag import LoopLag
from api.names import SystemNames
from api.policies import policies_of, warming_of
from api.probes import (
    cache_health,
    journal_health,
    keys_health,
    recorder_health,
    recorder_lag_s,
    redis_health,
    registrations_health,
    traces_health,
)
from api.process_figures import ProcessFigures
from api.providers import roster_of
from api.record import record
from api.registrations import registrations, secrets_of
from api.settings import Settings
from api.warming import on_schedule
from orchestrator.budget_ports import BudgetStore
from orchestrator.clock import SystemClock
from orchestrator.filters.authenticate import Doorkeeper
from orchestrator.gateway import Gateway, Probe
from orchestrator.health import plugins_health
from orchestrator.key_admin import KeyAdmin
from orchestrator.key_ring import KeyRing
from orchestrator.parts import Parts, Policies
from orchestrator.pipeline import Pipeline
from orchestrator.ports import Cache, Clock, FactSink, FlightStore, RateLimitStore
from orchestrator.provider_admin import ProviderAdmin
from orchestrator.record_watch import RecordWatch
from orchestrator.recorder import Recorder
from orchestrator.registrations import RegistrationBook
from orchestrator.roster import Roster
from orchestrator.strangers import Strangers
from orchestrator.usage import Usage
from orchestrator.warming import Warming
from storage.file_journal import FileJournal
from storage.memory_cache import MemoryCache
from storage.memory_rate_limit import MemoryRateLimit
from storage.redis_cache import RedisCache
from storage.redis_circuits import RedisCircuits
from storage.redis_client import RedisClient, open_redis
from storage.redis_flight import RedisFlights
from storage.redis_rate_limit import RedisRateLimit, SharedRateLimit
from storage.redis_wakeups import RedisWakeups
from storage.sql_engine import open_engine
from storage.sql_reports import SqlReports
from storage.sql_warming import SqlAsked


@contextlib.asynccontextmanager
async def gateway(
    settings: Settings, policies: Policies | None = None, *, warms: bool = False, only: str = ""
) -> AsyncIterator[Gateway]:
    """A gateway on the data directory, for as long as the context lasts.

    It writes to the journal only; a recorder must be running for its facts to reach SQL. Several may run on
    one data directory, each with its own journal segments. Leaving waits for the flights under way.
    `policies` stand in for those the settings make, for whoever embeds the gateway. Only one that is to stay
    `warms` its cache, as the settings say. `only` is the one provider to have, `""` for all.
    """
    clock = SystemClock()
    started_at = clock.now()
    async with contextlib.AsyncExitStack() as cleanup:
        journal, recorder = await cleanup.enter_async_context(record(settings, clock))
        roster = roster_of(settings, clock, recorder, pepper(settings))
        cleanup.push_async_callback(roster.aclose)
        book = await cleanup.enter_async_context(
            registrations(settings, roster, clock, instance=journal.instance, only=only)
        )
        shared = await cleanup.enter_async_context(_shared(settings, clock, recorder))
        cache = await cleanup.enter_async_context(instance_cache(settings, shared.redis, recorder, clock))
        store = await cleanup.enter_async_context(key_store(settings))
        ring = await cleanup.enter_async_context(key_ring(store, settings, clock))
        chosen = policies or policies_of(settings)
        tiers = _tiers(cache.l1, shared.redis)
        doors = _doorkeeper(settings, ring, clock)
        pipeline = _pipeline(chosen, clock, recorder, tiers, roster, doors=doors, shared=shared)
        cleanup.push_async_callback(pipeline.aclose)
        engine = open_engine(settings.database_url)
        cleanup.push_async_callback(engine.dispose)
        reports = SqlReports(engine)
        budgets = await cleanup.enter_async_context(
            running_budgets(
                settings,
                chosen.budget,
                shared.budget,
                reports=reports,
                facts=recorder,
                clock=clock,
                rate_limits=shared.rate_limits,
            )
        )
        watch = RecordWatch(reports, clock, chosen.budget)
        cleanup.push_async_callback(watch.aclose)
        await cleanup.enter_async_context((loop_lag := LoopLag()).watched())
        folder = settings.data_dir
        figures = ProcessFigures(clock, started_at, folder, journal, cache, shared.redis, loop_lag)
        warming = Warming(
            pipeline, recorder, tiers, SqlAsked(engine), warming_of(settings), flights=shared.flights
        )
        if warms:  # Last: it ends before what it works with.
            await cleanup.enter_async_context(on_schedule(warming, settings, clock))
        yield Gateway(
            pipeline,
            recorder,
            reports,
            clock,
            unconfigured=lambda: roster.reasons,
            complaints=lambda: roster.complaints,
            probes=_probes(settings, clock, journal, cache, redis=shared.redis, ring=ring, book=book),
            cache=cache.admin,
            keys=KeyAdmin(store, pepper(settings), clock, recorder, ring),
            providers=ProviderAdmin(book, recorder, is_secret=secrets_of(settings)),
            budgets=budgets,
            watch=watch,
            figures=figures.measure,
            recorder_lag_s=lambda: recorder_lag_s(folder, clock.now(), started_at),
            warming=warming,
            usage=Usage(reports, chosen.budget, clock),
        )


def _probes(
    settings: Settings,
    clock: Clock,
    journal: FileJournal,
    cache: InstanceCache,
    *,
    redis: RedisClient | None,
    ring: KeyRing,
    book: RegistrationBook,
) -> tuple[Probe, ...]:
    """What tells how the parts of this process are."""
    started_at = clock.now()
    return (
        lambda: journal_health(journal),
        lambda: recorder_health(settings.data_dir, clock.now(), started_at),
        lambda: cache_health(cache),
        *((lambda: redis_health("cache:l2", redis),) if redis is not None else ()),
        lambda: keys_health(ring),
        lambda: registrations_health(book),
        *(
            (lambda: traces_health(settings.data_dir, clock.now(), started_at),)
            if settings.exports_traces
            else ()
        ),
        *((lambda: plugins_health(kinds, started_at),) if (kinds := book.roster.kinds).has_plugins else ()),
    )


def _doorkeeper(settings: Settings, ring: KeyRing, clock: Clock) -> Doorkeeper:
    """Who knows the callers."""
    strangers = Strangers(clock, settings.anonymous_per_minute)
    return Doorkeeper(ring, trusts_local_operator=settings.is_loopback, strangers=strangers)


class _Shared(NamedTuple):
    """What instances share; without Redis this process has it alone, or does without (`None`)."""

    redis: RedisClient | None
    flights: FlightStore | None
    rate_limits: RateLimitStore
    budget: BudgetStore


@contextlib.asynccontextmanager
async def _shared(settings: Settings, clock: Clock, facts: FactSink) -> AsyncIterator[_Shared]:
    """What instances share, in reach yet or not."""
    alone = MemoryRateLimit(clock)
    if settings.redis_url is None:
        yield _Shared(None, None, alone, budget_store(None, clock))
        return
    url = settings.redis_url.get_secret_value()
    async with (
        contextlib.aclosing(await open_redis(url, facts, settings.redis_timeout_s)) as redis,
        contextlib.aclosing(RedisWakeups(redis)) as wakeups,
    ):
        wakeups.start()
        limits = SharedRateLimit(RedisRateLimit(redis), alone, clock, facts)
        yield _Shared(redis, RedisFlights(redis, wakeups), limits, budget_store(redis, clock))


def _tiers(l1: MemoryCache, redis: RedisClient | None) -> tuple[Cache, ...]:
    """The cache tiers, nearest first; a memory of no bytes is none if there is another."""
    if redis is None:
        return (l1,)
    l2 = RedisCache(redis)
    return (l1, l2) if l1.bytes_max else (l2,)


def _pipeline(
    policies: Policies,
    clock: Clock,
    recorder: Recorder,
    caches: tuple[Cache, ...],
    roster: Roster,
    *,
    doors: Doorkeeper,
    shared: _Shared,
) -> Pipeline:
    parts = Parts(
        clock=clock,
        facts=recorder,
        caches=caches,
        rate_limits=shared.rate_limits,
        providers=roster.providers,
        flights=shared.flights,
        circuits=RedisCircuits(shared.redis) if shared.redis else None,
        budget=shared.budget,
        doorkeeper=doors,
        names=SystemNames(),
        installation=roster.installation,
        identity=roster.identity,
    )
    pipeline = Pipeline(parts, policies)
    roster.when_changed(pipeline.use)
    return pipeline
