"""A child is started again whatever ended it, and a start that fails is a death like another."""

from __future__ import annotations

import asyncio
import logging
import sys

import pytest

from api import keeper
from api.keeper import Child, kept_alive
from tests.support.processes import until

OBEDIENT = "import sys; sys.stdin.read()"
"""A child that ends when it is told to."""


@pytest.fixture
def _impatient(monkeypatch):
    """No pauses between two starts."""
    monkeypatch.setattr(keeper, "RESTART_S_MIN", 0.0)


async def logged(caplog, words, times):
    """Wait until the log has said the words so often."""

    def is_said():
        return sum(words in message for message in caplog.messages) >= times

    await until(is_said, 10.0, lambda: str(caplog.messages))


@pytest.mark.usefixtures("_impatient")
async def test_a_child_that_cannot_be_started_is_tried_again(caplog, tmp_path):
    """It is said, and tried again; a last run that is due does not keep the end waiting."""
    program = tmp_path / "child"
    child = Child("worker", (str(program),), {}, is_last_run_due=True)

    async with asyncio.timeout(10.0), kept_alive(child):
        await logged(caplog, "the worker could not be started (No such file or directory)", 2)
        program.write_text(f"#!{sys.executable}\nimport sys; sys.exit(7)\n")
        await logged(caplog, "the worker could not be started (Permission denied)", 1)
        program.chmod(0o700)
        await logged(caplog, "the worker ended with status 7", 2)


async def test_a_child_is_ended_with_its_context(caplog):
    """Leaving the context ends the child through its input, and says nothing."""
    caplog.set_level(logging.WARNING)

    async with asyncio.timeout(10.0), kept_alive(Child("worker", (sys.executable, "-c", OBEDIENT), {})):
        await asyncio.sleep(0)

    assert caplog.messages == []
