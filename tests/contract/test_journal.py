"""What every Journal promises, whatever it is made of."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.errors import EventLogUnavailable
from orchestrator.ports import Journal
from storage.codec import read_frame
from storage.file_journal import FileJournal
from storage.file_reader import JournalReader
from tests.support.histories import NOON, hit, miss, numbered


@pytest.fixture(params=["process", "disk"])
async def journal(request, tmp_path):
    """A journal of each durability."""
    journal = FileJournal(tmp_path / "journal", durability=request.param)
    yield journal
    await journal.aclose()


@pytest.fixture
def written(tmp_path):
    """Reads back the rows of all frames that are durable."""
    reader = JournalReader(tmp_path / "journal")
    return lambda: [read_frame(payload).row for _, payload in reader.read().records]


async def test_a_frame_is_durable_when_its_result_is_done(journal: Journal, written):
    """Whoever was told finds the frame with the journal's name, a number, and all that was given."""
    await journal.append("e-1", NOON, numbered(hit()), {})

    (row,) = written()
    assert (row.instance, row.instance_seq) == (journal.instance, 1)
    assert (row.stream, row.recorded_at, row.outcome) == ("e-1", NOON, "answered")


async def test_numbers_follow_the_order_of_the_calls(journal: Journal, written):
    """Frames appended by many tasks are numbered without holes, in the order of the calls to append."""

    async def execution(number):
        await journal.append(f"e-{number}", NOON, numbered(miss()[:4]), {})
        await journal.append(f"e-{number}", NOON, numbered(miss()[4:], first=5), {})

    await asyncio.gather(*(execution(number) for number in range(50)))

    rows = written()
    assert [row.instance_seq for row in rows] == list(range(1, 101))
    for number in range(50):
        assert [row.outcome for row in rows if row.stream == f"e-{number}"] == ["", "answered"]


async def test_leaving_early_loses_nothing(journal: Journal, written):
    """A wait that is cancelled neither loses its frame nor disturbs another's."""
    waiting = asyncio.ensure_future(journal.append("leaves", NOON, numbered(hit()), {}))
    staying = asyncio.ensure_future(journal.append("stays", NOON, numbered(hit()), {}))
    waiting.cancel()

    await staying

    assert [row.stream for row in written()] == ["leaves", "stays"]


async def test_a_frame_too_large_is_refused_through_the_result(journal: Journal, written):
    """The call itself never raises; the result does, and the next frame takes the number."""
    refused = journal.append("large", NOON, numbered(hit()), {"k": "x" * 2_000_000})

    with pytest.raises(EventLogUnavailable):
        await refused
    await journal.append("small", NOON, numbered(hit()), {})

    assert [(row.instance_seq, row.stream) for row in written()] == [(1, "small")]
