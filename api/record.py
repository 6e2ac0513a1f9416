"""The record of one process: its journal, and the recorder that writes its facts there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator

from api import __version__
from api.settings import Settings
from orchestrator.facts import InstanceStarted, InstanceStopped
from orchestrator.ports import Clock
from orchestrator.recorder import Recorder
from storage.file_journal import FileJournal


@contextlib.asynccontextmanager
async def record(settings: Settings, clock: Clock) -> AsyncIterator[tuple[FileJournal, Recorder]]:
    """A numbered series of frames on the data directory, for as long as the context lasts.

    It begins and ends with a fact of its own. Leaving waits until everything is written. Raises OSError.
    """
    async with contextlib.AsyncExitStack() as cleanup:
        journal = FileJournal(
            settings.data_dir / "journal",
            durability=settings.events_durability,
            bytes_max=settings.journal_max_bytes,
        )
        cleanup.push_async_callback(journal.aclose)
        recorder = Recorder(journal, clock, keep_texts=settings.store_query_text)
        cleanup.push_async_callback(recorder.aclose)
        stream = f"instance:{journal.instance}"
        recorder.record_fact(stream, InstanceStarted(version=__version__, pid=os.getpid()))
        cleanup.callback(recorder.record_fact, stream, InstanceStopped(pid=os.getpid()))
        yield journal, recorder
