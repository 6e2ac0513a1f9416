"""The recorder beside another one: it waits for its turn, and says so once."""

from __future__ import annotations

import asyncio

import pytest

from api import recorder
from api.recorder import wait_for_turn
from api.settings import Settings
from storage.file_status import read_status
from storage.recorder_process import RecorderLoop
from tests.support.processes import until


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """Look for the end of the other one all the time."""
    monkeypatch.setattr(recorder, "TAKE_OVER_S", 0.001)


async def test_it_takes_over_when_the_other_has_gone(tmp_path, caplog):
    """While the folder has a recorder the second says so once; then it records itself."""
    settings = Settings(data_dir=tmp_path)
    stop = asyncio.Event()
    async with RecorderLoop(settings.data_dir, settings.database_url):
        second = asyncio.create_task(wait_for_turn(settings, stop))
        await asyncio.sleep(0.05)
        assert not second.done()
        assert read_status(settings.data_dir) is None
    await until(lambda: read_status(settings.data_dir) is not None, 10.0, lambda: "nobody records")
    stop.set()
    await second

    assert [message.startswith("Another recorder owns") for message in caplog.messages] == [True]


async def test_it_stops_while_it_waits(tmp_path):
    """Told to stop it leaves the folder to the other."""
    settings = Settings(data_dir=tmp_path)
    stop = asyncio.Event()
    async with RecorderLoop(settings.data_dir, settings.database_url):
        second = asyncio.create_task(wait_for_turn(settings, stop))
        await asyncio.sleep(0)
        stop.set()

        async with asyncio.timeout(1.0):
            await second
