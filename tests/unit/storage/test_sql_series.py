"""What the numbers of frames tell: which of them are missing, and which executions ended twice."""

from __future__ import annotations

from sqlalchemy import delete, update

from storage.sql_engine import transaction
from storage.sql_event_log import SqlEventLog
from storage.sql_series import Hole, find_doubled, find_holes, find_pruned, note_pruned
from storage.sql_tables import frames, pruned_series
from tests.support.histories import hit, known, received
from tests.support.rows import row


async def record(engine, numbers, instance="i-1"):
    """Hits with these numbers of one writer."""
    await SqlEventLog(engine).append([row(number, hit(), instance=instance) for number in numbers])


async def test_missing_numbers_are_holes(engine):
    """Each writer's series begins with 1 and has every number; what is missing is named as ranges."""
    await record(engine, [1, 2, 3])
    await record(engine, [3, 4, 7, 9], instance="i-2")
    await record(engine, [2], instance="i-3")

    async with transaction(engine) as connection:
        found = await find_holes(connection, 10)
        first = await find_holes(connection, 2)

    assert found == (
        2 + 2 + 1 + 1,
        [Hole("i-2", 1, 2), Hole("i-2", 5, 6), Hole("i-2", 8, 8), Hole("i-3", 1, 1)],
    )
    assert first == (6, found.listed[:2])


async def test_pruned_numbers_are_no_holes(engine):
    """What was pruned on purpose is not missing; what is missing behind it is."""
    await record(engine, range(1, 9))
    async with transaction(engine) as connection:
        await connection.execute(pruned_series.insert().values(instance="i-1", first_seq=1, last_seq=2))
        await connection.execute(pruned_series.insert().values(instance="i-1", first_seq=4, last_seq=4))
        await connection.execute(delete(frames).where(frames.c.instance_seq.in_([1, 2, 4, 6])))

        assert await find_holes(connection, 10) == (1, [Hole("i-1", 6, 6)])


async def test_pruned_numbers_are_noted_as_ranges(engine):
    """Neighbours become one range, in whichever order they are noted; what is between two is not."""
    async with transaction(engine) as connection:
        for numbers in ([4, 5], [1, 9], [2], [6, 3]):
            await note_pruned(connection, [("i-1", number) for number in numbers])
        await note_pruned(connection, [("i-2", 1)])

        found = await find_pruned(connection, ["i-1", "i-3"])

    assert found == {"i-1": [(1, 6), (9, 9)]}
    assert [number for number in range(11) if found.has("i-1", number)] == [1, 2, 3, 4, 5, 6, 9]
    assert not found.has("i-3", 1)


async def test_two_last_words_are_found(engine):
    """An execution of several frames has one last word; one with two is named."""
    log = SqlEventLog(engine)
    await log.append([row(1, (received(), known())), row(2, hit()), row(3, hit()), row(4, hit())])
    async with transaction(engine) as connection:
        await connection.execute(update(frames).where(frames.c.instance_seq <= 2).values(stream="e-2"))
        assert await find_doubled(connection, 10) == []

        await connection.execute(update(frames).where(frames.c.instance_seq == 3).values(stream="e-4"))
        assert await find_doubled(connection, 10) == ["e-4"]
