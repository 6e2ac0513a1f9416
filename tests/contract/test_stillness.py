"""What tests of speed may take for a machine that stands still, and what they may not."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tests.support.stillness import TRIES, Stillness, undisturbed

STILL_S = 0.4

STOPS_ITS_PARENT = f"""
import os, signal, time
os.kill({{pid}}, signal.SIGSTOP)
time.sleep({STILL_S})
os.kill({{pid}}, signal.SIGCONT)
"""


def stand_still() -> None:
    """Stop this process, as a machine that has no time for it does."""
    subprocess.run([sys.executable, "-c", STOPS_ITS_PARENT.format(pid=os.getpid())], check=True)


async def test_a_disturbed_attempt_is_made_again():
    """One that fails while the process stands still says nothing; the next one counts."""
    made: list[int] = []

    async def attempt(number: int) -> str:
        made.append(number)
        if number == 0:
            stand_still()
            raise AssertionError("too slow")
        return "fast"

    assert await undisturbed(attempt, still_s=STILL_S / 2) == "fast"
    assert made == [0, 1]


@pytest.mark.parametrize(
    ("still_s", "attempts"), [(3600.0, 1), (0.0, TRIES)], ids=["nothing stands still", "all always does"]
)
async def test_a_failure_stays_one(still_s: float, attempts: int):
    """It counts at once while nothing stands still, and in the end on a machine that always does."""
    made: list[int] = []

    async def attempt(number: int) -> None:
        made.append(number)
        raise AssertionError("too slow")

    with pytest.raises(AssertionError, match="too slow"):
        await undisturbed(attempt, still_s)
    assert made == list(range(attempts))


def test_who_holds_up_the_loop_is_not_the_machine():
    """What blocks this thread, and not the process, is a fault of what is tested."""
    with Stillness().watched() as still:
        begun = time.monotonic()
        time.sleep(STILL_S)
        blocked_s = time.monotonic() - begun

    assert still.longest_s < blocked_s
