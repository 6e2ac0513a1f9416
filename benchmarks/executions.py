"""What a search over past executions costs: every kind of question to a log of ten million frames.

The log is made up and as plain as it can be: one row in three is the first frame of a call that asked a
provider. It is filled by the drivers, because recording ten million frames would take an hour. Promise: no
call takes longer than 100 ms, whatever is asked, in the median and at worst.
"""

from __future__ import annotations

import hashlib
import itertools
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg

from storage.codec import FrameRow

DAY_S = 86_400.0
DAYS = 30.0
UNTIL = 1_795_800_000.0
FRAMES = 10_000_000
TEXTS = 500_000
"""Different searches; the most popular half of the calls shares a hundredth of them."""

BATCH = 50_000

CLIENTS = ("website", "website", "website", "agents", "agents", "team")
RARE_EVERY = 2_500_000
"""Frames between two calls of a client that nearly never asks."""

FAILED_EVERY = 300


def key_of(number: int) -> str:
    """The cache key of a made-up search."""
    return hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest()


def rows(count: int) -> Iterator[FrameRow]:
    """The frames of a month, evenly spaced, in the order in which they were recorded."""
    for number in range(count):
        at = UNTIL - DAYS * DAY_S * (1 - number / count)
        drawn = number * 2_654_435_761 % 2**32
        key = key_of(drawn % (TEXTS if drawn & 1 << 20 else TEXTS // 100))
        is_miss = number % 3 != 2
        stream = f"{int(at * 1000):012x}"
        stream = f"{stream[:8]}-{stream[8:]}-7000-8000-{number - (number % 3 == 1):012x}"
        if number % 3 == 0:
            yield FrameRow("i-1", number + 1, stream, at, *[""] * 8, None, _begun(key))
        else:
            yield _ended(number, at, drawn, key, stream, is_miss=is_miss)


def _ended(number: int, at: float, drawn: int, key: str, stream: str, *, is_miss: bool) -> FrameRow:
    is_failed = number % FAILED_EVERY == 1
    return FrameRow(
        instance="i-1",
        instance_seq=number + 1,
        stream=stream,
        recorded_at=at,
        operation="search",
        door=("http", "mcp")[drawn >> 8 & 1],
        client="rare" if number % RARE_EVERY == RARE_EVERY - 2 else CLIENTS[drawn % len(CLIENTS)],
        topic="general",
        provider="" if is_failed else ("tavily", "jina")[drawn >> 16 & 1],
        cache="" if is_failed else "miss" if is_miss else "l1",
        outcome="failed" if is_failed else "answered",
        error="all_providers_failed" if is_failed else "",
        duration_s=drawn / 2**32 if is_miss else 0.001,
        events=_closed(key),
    )


def _begun(key: str) -> str:
    return (
        '[{"seq":1,"at":1793208000.0,"event":{"type":"amos.request.received.v1","operation":"search","door":'
        '"http","dialect":"tavily"}},{"seq":2,"at":1793208000.0,"event":{"type":"amos.cache.missed.v1","key":'
        f'"{key}","reason":"absent"}}}},{{"seq":3,"at":1793208000.0,"event":{{"type":"amos.attempt.started.v1",'
        '"provider":"tavily","number":1,"span_id":"38d048ec0f1099c6"}}]'
    )


def _closed(key: str) -> str:
    return (
        '[{"seq":4,"at":1793208000.5,"event":{"type":"amos.attempt.succeeded.v1","provider":"tavily","number":'
        '1,"duration_s":0.5,"results":5,"cost":{"amount":1.0,"unit":"credits","usd_micros":8000}}},{"seq":5,'
        '"at":1793208000.5,"event":{"type":"amos.request.completed.v1","operation":"search","door":"http",'
        f'"client":"website","topic":"general","key":"{key}","provider":"tavily","cache":"miss","results":5,'
        '"duration_s":0.5,"upstream_s":0.5,"cost":{"amount":1.0,"unit":"credits","usd_micros":8000}}}]'
    )


def texts() -> Iterator[tuple[str, str, float, str]]:
    """The text of each search."""
    for number in range(TEXTS):
        yield key_of(number), f"made-up search number {number} about tides", UNTIL - DAY_S, ""


def _batches(found: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(found)
    while batch := list(itertools.islice(iterator, BATCH)):
        yield batch


def fill_file(path: Path, count: int) -> None:
    """Fill the tables of a SQLite file."""
    places = ", ".join("?" * len(FrameRow._fields))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for batch in _batches(rows(count)):
            connection.executemany(
                f"INSERT INTO frames ({', '.join(FrameRow._fields)}) VALUES ({places})",
                batch,
            )
            connection.commit()
        connection.executemany("INSERT INTO queries VALUES (?, ?, ?, ?)", texts())
        connection.commit()


async def fill_server(url: str, count: int) -> None:
    """Fill the tables of a PostgreSQL."""
    connection = await asyncpg.connect(url)
    for batch in _batches(rows(count)):
        await connection.copy_records_to_table("frames", records=batch, columns=FrameRow._fields)
    await connection.copy_records_to_table("queries", records=texts())
    await connection.execute("VACUUM ANALYZE")
    await connection.close()
