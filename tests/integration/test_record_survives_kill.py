"""`kill -9` at any moment loses no frame that anybody was told is durable."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.reports.report import Question
from storage.recorder_process import RecorderLoop
from storage.sql_engine import open_engine, sqlite_url
from storage.sql_event_log import SqlEventLog
from storage.sql_reports import SqlReports
from tests.support.histories import NOON
from tests.support.postgres import shared_postgres
from tests.support.seeds import SEEDS

ROOT = Path(__file__).resolve().parent.parent.parent

WRITER = """
import asyncio, sys
from pathlib import Path
from storage.file_journal import FileJournal
from tests.support.histories import NOON, hit, numbered

async def answer(journal, number):
    await journal.append(f"{journal.instance}:{number}", NOON, numbered(hit()), {})
    sys.stdout.write(f"{journal.instance}:{number}\\n")
    sys.stdout.flush()

async def main():
    journal = FileJournal(Path(sys.argv[1]), segment_bytes_max=20_000)
    number = 0
    while True:
        await asyncio.gather(*(answer(journal, number + i) for i in range(8)))
        number += 8

asyncio.run(main())
"""

RECORDER = """
import asyncio, sys
from pathlib import Path
from storage.recorder_process import record_forever
asyncio.run(record_forever(Path(sys.argv[1]), sys.argv[2], asyncio.Event()))
"""


def start(program, *arguments):
    """A process of ours; what it says is read when it is dead."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.parametrize("seed", SEEDS)
async def test_every_acknowledged_frame_is_in_sql_once(tmp_path, seed):
    """Writers and recorders die at random moments; in the end all that was told is in SQL, counted once."""
    chance = random.Random(seed)
    url = sqlite_url(tmp_path / "amos.sqlite")

    told = await live_and_die(tmp_path, url, chance)

    await assert_all_is_there(url, [tmp_path], told)


async def test_three_machines_on_one_postgresql(tmp_path):
    """The same with three machines that begin on an empty database at once and share it."""
    url = shared_postgres().new_database()
    machines = [tmp_path / f"machine{number}" for number in range(3)]

    lives = (live_and_die(machine, url, random.Random(machine.name)) for machine in machines)
    told = [stream for machine in await asyncio.gather(*lives) for stream in machine]

    await assert_all_is_there(url, machines, told)


async def live_and_die(folder, url, chance):
    """The streams that a writer was told are durable, in three lives of it and of a recorder."""
    told: list[str] = []

    for _ in range(3):
        recorder = start(RECORDER, str(folder), url)
        writer = start(WRITER, str(folder / "journal"))
        reading = asyncio.create_task(asyncio.to_thread(writer.stdout.read))
        await asyncio.sleep(0.6 + chance.random() * 0.6)
        for victim in chance.sample([writer, recorder], 2):
            victim.send_signal(signal.SIGKILL)
            await asyncio.sleep(chance.random() * 0.1)
        # A last line without its end was cut off by the kill: nobody has read it whole.
        told += (await reading).decode().splitlines(keepends=True)
        for victim in (writer, recorder):
            victim.wait()
            victim.stderr.close()
        writer.stdout.close()
        recorder.stdout.close()
    return [line.strip() for line in told if line.endswith("\n")]


async def assert_all_is_there(url, folders, told):
    """Whatever the journals still hold is drained; then each frame is in SQL once, and counted once."""
    for folder in folders:
        async with RecorderLoop(folder, url) as recorder_again:
            await recorder_again.drain()

    engine = open_engine(url)
    stored = [frame for _, frame in await SqlEventLog(engine).read(0, 10_000_000)]
    report = await SqlReports(engine).report("hit-rate", Question(since=NOON - 60, until=NOON + 60))
    await engine.dispose()
    assert told
    assert set(told) <= {frame.stream for frame in stored}
    assert report["answered"] == len(stored) == len({frame.stream for frame in stored})
    for instance in {frame.instance for frame in stored}:
        numbers = sorted(frame.instance_seq for frame in stored if frame.instance == instance)
        assert numbers == list(range(1, len(numbers) + 1))
