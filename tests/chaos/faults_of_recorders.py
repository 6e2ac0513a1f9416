"""What happens to recorders: doubled, killed at every step and at any moment, in a migration too."""

from __future__ import annotations

import asyncio

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, insert, text

from storage.codec import read_frame
from storage.file_reader import JournalReader
from storage.sql_engine import open_engine, prepare, transaction
from storage.sql_schema import ALEMBIC_DIRECTORY, current, head
from storage.sql_tables import frames
from tests.support.processes import until
from tests.support.recording import Recording, ended, kill, stop, was_killed
from tests.support.recording_process import BUSY_STATUS, Fate

STEPS = {
    "in a batch": ("INSERT INTO frames", 1, 3),
    "in a fold": ("INSERT INTO rollup_ledger", 1, 3),
    "between fold and commit": ("INSERT INTO checkpoints", 1, 3),
    "between commit and deletion": ("stored", 1, 3),
}
"""Where a recorder dies: the step, and the bounds of how often it may come before."""

REPLAYING = (
    ("INSERT INTO rollup_ledger", 1),
    ("INSERT INTO checkpoints", 1),
    ("UPDATE projection_state", 1),
    ("DELETE FROM rollup_", 6),
)
"""Where a replay dies, and how often at most the step comes before."""

DAY_S = 86_400

DDL = ("CREATE", "DROP", "ALTER")
"""How the statements of a migration begin."""

BEFORE = "0003"
"""The revision of the last release."""


async def two_on_one_folder(record: Recording) -> None:
    """Two recorders start at once on one folder: one leaves; when the other dies a third goes on."""
    writer = record.writer()
    both = [record.recorder_process() for _ in range(2)]
    await writer.calls(20)
    await until(lambda: not all(process.is_alive() for process in both), 10.0, lambda: "both stay")
    assert sorted(process.exitcode or 0 for process in both) == [0, BUSY_STATUS]
    await record.until_stored(10)
    for process in both:
        await kill(process)
    third = record.recorder_process()
    await writer.calls(20)
    await stop(third)


async def two_on_one_database(record: Recording) -> None:
    """Recorders of two folders begin at once on an empty database and share it; one of them dies."""
    folders = (record.folder, record.another_folder())
    writers = [record.writer(folder) for folder in folders]
    both = [record.recorder_process(folder) for folder in folders]
    for writer in writers:
        await writer.calls(30)
    await asyncio.sleep(record.chance.uniform(0.0, 0.5))
    await kill(record.chance.choice(both))
    for writer in writers:
        await writer.calls(30)
    await asyncio.gather(*(stop(process) for process in both))


async def killed_at_a_step(record: Recording, step: str) -> None:
    """Kill one recorder after another at the nth time of a step; some writers live, some are dead."""
    begin, least, most = STEPS[step]
    writer = record.writer()
    for _ in range(record.rounds):
        await record.written(24)
        await writer.calls(24)
        process = record.recorder_process(fate=Fate(begin, record.chance.randint(least, most)))
        while process.is_alive():
            await writer.calls(2)
            await asyncio.sleep(0.02)
        assert was_killed(process)


async def killed_in_a_batch(record: Recording) -> None:
    """The recorder is killed with a batch in its transaction."""
    await killed_at_a_step(record, "in a batch")


async def killed_in_a_fold(record: Recording) -> None:
    """The recorder is killed when some rollups have been added to and others not."""
    await killed_at_a_step(record, "in a fold")


async def killed_between_fold_and_commit(record: Recording) -> None:
    """The recorder is killed when all is counted and nothing is committed."""
    await killed_at_a_step(record, "between fold and commit")


async def killed_between_commit_and_deletion(record: Recording) -> None:
    """The recorder is killed when frames are in SQL and still in the journal."""
    await killed_at_a_step(record, "between commit and deletion")


async def killed_at_any_moment(record: Recording) -> None:
    """Recorder and worker are killed at drawn moments, in life after life."""
    for _ in range(record.rounds):
        recorder, worker = record.recorder_process(), record.writer_process()
        await asyncio.sleep(record.chance.uniform(0.15, 0.6))
        for process in record.chance.sample((recorder, worker), 2):
            await kill(process)
            await asyncio.sleep(record.chance.uniform(0.0, 0.05))


async def killed_in_a_compaction(record: Recording) -> None:
    """The recorder is killed when some old minutes are deleted and others not; then old facts come late."""
    writer = record.writer()
    writer.clock.advance(-400 * DAY_S)
    for _ in range(6):
        await writer.calls(12)
        writer.clock.advance(1.5 * DAY_S)
    await record.drain()
    process = record.recorder_process(fate=Fate("DELETE FROM rollup_", record.chance.randint(1, 12)))
    await ended(process)
    assert was_killed(process)
    late = record.writer()
    late.clock.advance(-400 * DAY_S)
    await late.calls(30)
    async with record.recorder():
        await writer.calls(10)
        await record.until_idle()


async def killed_in_a_replay(record: Recording) -> None:
    """Whoever counts everything again is killed at a drawn step while a recorder works, and then succeeds."""
    writer = record.writer()
    recorder = record.recorder_process()
    await writer.calls(60)
    await record.until_idle()
    for _ in range(record.rounds):
        step, most = record.chance.choice(REPLAYING)
        process = record.replay_process(Fate(step, record.chance.randint(1, most)))
        while process.is_alive():
            await writer.calls(4)
            await asyncio.sleep(0.05)
        assert was_killed(process)
    assert await ended(record.replay_process()) == 0
    await stop(recorder)


async def killed_in_a_migration(record: Recording) -> None:
    """The recorder is killed between two statements of the first migrations: nothing is half made."""
    await record.written(30)
    await die_migrating(record, 24)
    assert await current(record.url) is None


async def killed_in_an_upgrade(record: Recording) -> None:
    """The same in the step from the last release, with frames in the log that were counted in its way."""
    await record.written(40)
    await record_as_before(record)
    await record.written(20)
    await die_migrating(record, 14)
    assert await current(record.url) == BEFORE
    process = record.recorder_process()
    await record.writer().calls(8)
    await record.until_revision(head())
    await stop(process)


async def die_migrating(record: Recording, statements: int) -> None:
    """One recorder after another dies at one of the first statements; there are some more than so many."""
    for _ in range(record.rounds):
        process = record.recorder_process(fate=Fate(DDL, record.chance.randint(1, statements)))
        await ended(process)
        assert was_killed(process)


async def record_as_before(record: Recording) -> None:
    """What the last release leaves: its schema, the frames in its log, and counts of its own kind."""
    prepare(record.url)
    engine = open_engine(record.url, writer=True)
    async with transaction(engine) as connection:
        await connection.run_sync(migrate_to, BEFORE)
    reader = JournalReader(record.journal())
    batch = await asyncio.to_thread(reader.read)
    rows = [read_frame(payload).row._asdict() for _, payload in batch.records]
    async with transaction(engine) as connection:
        await connection.execute(insert(frames), rows)
        await connection.execute(
            text("INSERT INTO checkpoints (projection, position) SELECT 'health', max(position) FROM frames")
        )
        await connection.execute(
            text(
                "INSERT INTO rollup_health (minute, subject, operation, provider, outcome, reason, calls,"
                " degraded, fallback, stale, empty)"
                " VALUES (1800000000, 'request', 'search', '', 'answered', '', 7, 0, 0, 0, 0)"
            )
        )
    await asyncio.to_thread(reader.commit, batch)
    await engine.dispose()


def migrate_to(connection: Connection, revision: str) -> None:
    """Run the migrations up to a revision on a connection."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(ALEMBIC_DIRECTORY))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, revision)


ON_NOTHING = (two_on_one_database, killed_in_a_migration, killed_in_an_upgrade)
"""These begin on a database in which there is nothing yet."""

FAULTS = (
    two_on_one_folder,
    two_on_one_database,
    killed_in_a_batch,
    killed_in_a_fold,
    killed_between_fold_and_commit,
    killed_between_commit_and_deletion,
    killed_at_any_moment,
    killed_in_a_compaction,
    killed_in_a_replay,
    killed_in_a_migration,
    killed_in_an_upgrade,
)
