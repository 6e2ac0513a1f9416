"""Several recorders on one database at once: a reader misses nothing, and everything is counted once."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from sqlalchemy import select

from storage.recorder_process import LOOK_S, RecorderLoop
from storage.sql_engine import dialect_of, open_engine, transaction
from storage.sql_event_log import SqlEventLog
from storage.sql_projector import Projected, SqlProjector, frames_behind
from storage.sql_tables import frames, rollups
from tests.support.clock import FakeClock
from tests.support.histories import hit, mixture
from tests.support.reported import rows_by_span
from tests.support.rows import row, text_of
from tests.support.seeds import SEEDS

WRITERS = 4
BATCHES = 30


@asynccontextmanager
async def engines(url, count):
    """So many writers' engines of one database, each as a recorder of its own has it."""
    async with AsyncExitStack() as cleanup:
        opened = [open_engine(url, writer=True) for _ in range(count)]
        for engine in opened:
            cleanup.push_async_callback(engine.dispose)
        yield opened


async def write(engine, instance, chance):
    """Batches of drawn sizes: a large one takes longer between its first position and its commit."""
    log, number = SqlEventLog(engine), 0
    for _ in range(BATCHES):
        size = chance.choice((1, 1, 2, 60))
        await log.append([row(number + n, hit(), instance=instance) for n in range(1, size + 1)])
        number += size


async def follow(engine, done):
    """What a reader sees that goes on behind the last position it has seen, until all is written."""
    log, position, seen = SqlEventLog(engine), 0, []
    while True:
        is_last = done.is_set()
        for stored in await log.read(position, 1_000):
            position = stored.position
            seen.append((stored.frame.instance, stored.frame.instance_seq))
        if is_last:
            return seen


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_reader_behind_a_position_misses_nothing(database_url, seed):
    """Positions become visible in their order, however many append at once: decision 0005."""
    done = asyncio.Event()
    async with engines(database_url, WRITERS + 1) as (reader, *writers):
        following = asyncio.create_task(follow(reader, done))
        await asyncio.gather(
            *(write(one, f"i-{n}", random.Random(f"{seed} {n}")) for n, one in enumerate(writers))
        )
        done.set()
        seen = await following

        async with transaction(reader) as connection:
            there = await connection.execute(select(frames.c.instance, frames.c.instance_seq))
            assert sorted(seen) == sorted(map(tuple, there.all()))
    for n in range(WRITERS):
        numbers = [number for instance, number in seen if instance == f"i-{n}"]
        assert numbers == list(range(1, len(numbers) + 1))


async def test_three_projectors_at_once_count_once(database_url):
    """While recorders append and project side by side every frame is counted exactly once."""
    async with engines(database_url, 3) as opened:

        async def record(engine, instance):
            log, projector = SqlEventLog(engine), SqlProjector(engine)
            for number in range(10):
                batch = [
                    row(number * 100 + n, events, instance=instance) for n, events in enumerate(mixture(), 1)
                ]
                await log.append(batch)
                await projector.project()

        await asyncio.gather(*(record(engine, f"i-{n}") for n, engine in enumerate(opened)))
        projector = SqlProjector(opened[0])
        while not (await projector.project()).is_done:
            pass

        assert await frames_behind(opened[0]) == 0
        stored = await SqlEventLog(opened[0]).read(0, 10_000)
        assert len(stored) == 3 * 10 * len(mixture())
        for rollup, table in rollups:
            async with transaction(opened[0]) as connection:
                found = (await connection.execute(select(table))).all()
            size = 3 + len(rollup.dimensions)
            assert {tuple(line[1:size]): tuple(line[size:]) for line in found} == rows_by_span(
                rollup, (envelope for _, frame in stored for envelope in frame.events)
            )


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
async def test_who_finds_another_projecting_leaves_it_the_work(engine, database_url):
    """A projector does not wait for another one: it says that nothing was done, and is free to store."""
    await SqlEventLog(engine).append([row(1, hit())])
    async with engines(database_url, 1) as (other,), transaction(other) as connection:
        assert await dialect_of(other).lock_rollups(connection)

        assert await SqlProjector(engine).project() == Projected(is_elsewhere=True)

    assert await SqlProjector(engine).project() == Projected(1, is_done=True)


async def test_two_recorders_of_one_batch_store_it_once(database_url):
    """The same frames appended twice at the same moment are there once, and nobody fails."""
    batch = [row(number, hit()) for number in range(1, 200)]
    texts = [text_of(1, "k", "text")]
    async with engines(database_url, 2) as (one, two):
        await asyncio.gather(SqlEventLog(one).append(batch, texts), SqlEventLog(two).append(batch, texts))

        assert len(await SqlEventLog(one).read(0, 1_000)) == len(batch)


async def test_what_another_recorder_left_uncounted_is_counted(tmp_path, engine, database_url):
    """A recorder that died between storing and counting need not come back, and nothing new need come in."""
    clock = FakeClock()
    async with RecorderLoop(tmp_path, database_url, clock=clock) as recorder:
        await recorder.drain()
        await SqlEventLog(engine).append([row(1, hit())])
        clock.advance(LOOK_S)

        await recorder.drain()

    assert await frames_behind(engine) == 0
