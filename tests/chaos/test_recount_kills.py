"""`kill -9` in the middle of a replay or a prune, again and again: no figure changes, the next run tidies."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select

from storage.sql_engine import open_engine, sqlite_url, transaction
from storage.sql_event_log import SqlEventLog
from storage.sql_projector import SqlProjector, live_generation
from storage.sql_rebuild import verify
from storage.sql_schema import upgrade
from storage.sql_tables import PRUNED, frames, rollups
from tests.support.command_line import ROOT
from tests.support.histories import NOON, mixture
from tests.support.postgres import shared_postgres
from tests.support.rows import row
from tests.support.seeds import MORE_SEEDS, SEEDS

FRAMES = 120
KILLS = 2

PROGRAMS = {
    "replay": """
import asyncio, sys
from storage import sql_generations, sql_rebuild
sql_rebuild.BATCH_FRAMES, sql_generations.RANGE_ROWS = 10, 60
asyncio.run(sql_rebuild.replay(sys.argv[1], lambda *step: print(step, flush=True)))
""",
    "prune": f"""
import asyncio, sys
from storage import sql_prune
sql_prune.BATCH_FRAMES = 5
asyncio.run(sql_prune.prune(sys.argv[1], {NOON + 40 * 110}, lambda *step: print(step, flush=True)))
""",
}
"""What is killed: the work in small steps, each told on a line."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database in which there is nothing yet."""
    return (
        shared_postgres().new_database()
        if request.param == "postgresql"
        else sqlite_url(tmp_path / "amos.db")
    )


def untold(phase: str, done: int, total: int) -> None:
    """Nobody listens."""


def run_and_kill(program: str, url: str, chance: random.Random) -> str:
    """Let the work go on for a drawn number of steps and a drawn moment more, and kill it; how far it was."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAMS[program], url], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        step = ""
        for _ in range(chance.randrange(1, 30)):
            line = process.stdout.readline()
            if not line:
                break
            step = line.strip()
        time.sleep(chance.uniform(0.0, 0.05))
        process.send_signal(signal.SIGKILL)
    return step


async def figures(url: str) -> dict[str, set[tuple[object, ...]]]:
    """Every row that reports read, without its generation."""
    engine = open_engine(url)
    async with transaction(engine) as connection:
        live = await live_generation(connection)
        found = {
            table.name: {
                tuple(line[1:])
                for line in await connection.execute(select(table).where(table.c.generation == live))
            }
            for _, table in rollups
        }
    await engine.dispose()
    return found


async def generations(url: str) -> set[int]:
    """Of which generations there are rows, but for that of pruned frames; and how many are read."""
    engine = open_engine(url)
    async with transaction(engine) as connection:
        found: set[int] = set()
        for _, table in rollups:
            found |= set((await connection.execute(select(table.c.generation).distinct())).scalars())
    await engine.dispose()
    return found - {PRUNED}


@pytest.mark.parametrize("seed", SEEDS + MORE_SEEDS)
@pytest.mark.parametrize("program", PROGRAMS)
async def test_it_is_killed_again_and_again(url: str, program: str, seed: int) -> None:
    """Whenever it dies reports say the same, a verify finds all equal, and one generation is left."""
    await upgrade(url)
    engine = open_engine(url, writer=True)
    kinds = mixture()
    batch = [
        row(number, kinds[number % len(kinds)], at=NOON + number * 40) for number in range(1, FRAMES + 1)
    ]
    await SqlEventLog(engine).append(batch)
    await SqlProjector(engine).project()
    before = await figures(url)
    chance = random.Random(seed)

    for _ in range(KILLS):
        sys.stdout.write(f"seed {seed}: {program} killed behind {run_and_kill(program, url, chance)}\n")
        assert await figures(url) == before

    verdict = await verify(url, untold)
    assert verdict.is_sound
    assert len(await generations(url)) == 1
    async with transaction(engine) as connection:
        left = (await connection.execute(select(func.count()).select_from(frames))).scalar()
    assert verdict.frames == left
    assert left == FRAMES if program == "replay" else FRAMES - 110 <= left <= FRAMES
    await engine.dispose()
