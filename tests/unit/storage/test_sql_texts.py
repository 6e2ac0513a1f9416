"""Erasing texts: all that ask the same, or all of a client, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from orchestrator.events import (
    CacheMissed,
    RequestCompleted,
    UnknownEvent,
)
from storage import sql_texts
from storage.file_journal import FileJournal
from storage.recorder_process import drain
from storage.sql_engine import open_engine, transaction
from storage.sql_event_log import SqlEventLog
from storage.sql_tables import queries
from storage.sql_texts import SqlTexts
from tests.support.histories import NOON, answered, hit, known, numbered, received
from tests.support.rows import row, text_of


async def store(engine, texts):
    """Put texts there, by their keys, as frames bring them."""
    rows = [row(number, hit()) for number in range(1, len(texts) + 1)]
    kept = [text_of(number, key, text) for number, (key, text) in enumerate(texts.items(), 1)]
    await SqlEventLog(engine).append(rows, kept)


def bytes_of(folder: Path) -> bytes:
    """Everything in the files of the database."""
    return b"".join(file.read_bytes() for file in folder.glob("amos.sqlite*"))


async def left(engine):
    """The keys that still have a text."""
    async with transaction(engine) as connection:
        return set((await connection.execute(select(queries.c.key_hash))).scalars())


@pytest.mark.parametrize("page", [1, 2, 500])
async def test_texts_that_ask_the_same_are_found(engine, monkeypatch, page):
    """Case, blanks and Unicode form make no difference, as for the cache; a part of a text is another one."""
    monkeypatch.setattr(sql_texts, "PAGE_TEXTS", page)
    await store(
        engine,
        {
            "k1": "What is Ångström?",
            "k2": "  what IS a\u030angström?",
            "k3": "what is",
            "k4": "what is Ångström? really",
            "k5": "tides",
        },
    )
    texts = SqlTexts(engine)

    assert await texts.keys_of(["WHAT is ångström?"]) == {"k1", "k2"}
    assert await texts.keys_of(["tides", "what is", "nobody asked"]) == {"k3", "k5"}
    assert await texts.keys_of(["100%", "_"]) == set()


@pytest.mark.parametrize("page", [1, 500])
async def test_texts_of_a_client_are_those_behind_its_keys(engine, monkeypatch, page):
    """Every search it made counts, answered or not, from the cache or not; a key without a text does not."""
    monkeypatch.setattr(sql_texts, "PAGE_TEXTS", page)
    await store(engine, {f"k{number}": f"question {number}" for number in range(1, 6)})

    def missed(key):
        return CacheMissed(key=key, reason="absent")

    await SqlEventLog(engine).append(
        [
            row(11, (received(), known("anna"), missed("k1"), answered(client="anna", key="k1"))),
            row(12, (received(), known("anna"), missed("k2"))),
            row(13, (received(), known("bert"), missed("k3"))),
            row(14, (received(), known("anna"), missed("gone"))),
            row(15, (UnknownEvent("amos.tea.made.v1"), answered(client="anna", key="k5"))),
        ]
    )

    assert await SqlTexts(engine).keys_of_client("anna") == {"k1", "k2", "k5"}
    assert await SqlTexts(engine).keys_of_client("ann") == set()


@pytest.mark.parametrize("page", [1, 2, 500])
async def test_only_the_named_texts_are_erased(engine, monkeypatch, page):
    """It says how many there were, and erasing again is erasing nothing."""
    monkeypatch.setattr(sql_texts, "PAGE_TEXTS", page)
    await store(engine, {"k1": "one", "k2": "two", "k3": "three"})
    texts = SqlTexts(engine)

    assert await texts.erase({"k1", "k3", "unheard of"}) == 2
    assert await texts.erase({"k1", "k3"}) == 0
    assert await texts.erase(()) == 0

    assert await left(engine) == {"k2"}


async def test_the_last_word_alone_tells_the_key(engine):
    """A search served from the cache has a key in its last word, which is enough."""
    await store(engine, {"k1": "the question"})
    last: RequestCompleted = answered(client="agent", key="k1", cache="l2")
    await SqlEventLog(engine).append([row(20, (last,))])

    assert await SqlTexts(engine).keys_of_client("agent") == {"k1"}


async def test_nothing_is_left_in_the_file(tmp_path, new_database):
    """On SQLite the bytes are gone from the database file, not only from the table."""
    url = new_database("sqlite", tmp_path)
    secrets = {f"k{number}": f"a secret question of some length, number {number}" for number in range(200)}
    engine = open_engine(url, writer=True)
    await store(engine, secrets)

    await SqlTexts(engine).erase(secrets)
    await engine.dispose()  # the last connection moves what is in the -wal file into the database

    assert b"a secret question" not in bytes_of(tmp_path)


async def test_a_recorder_that_reads_again_brings_nothing_back(tmp_path, fresh_url):
    """The segment of a living writer is read from its beginning by the next recorder; erased stays erased."""
    journal = FileJournal(tmp_path / "journal", instance="w-1")
    await journal.append("e-1", NOON, numbered(hit()), {"k1": "the question"})
    await drain(tmp_path, fresh_url)
    engine = open_engine(fresh_url, writer=True)
    assert await SqlTexts(engine).erase({"k1"}) == 1

    await journal.append("e-2", NOON, numbered(hit()), {"k2": "another"})
    await drain(tmp_path, fresh_url)

    assert await left(engine) == {"k2"}
    await journal.aclose()
    await engine.dispose()
