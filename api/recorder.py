"""The recorder process: drains every worker's journal into SQL, whoever wrote it and whether they still live.

Run as `python -m api.recorder` by the supervisor, or alone as `amos recorder`. One per data directory; a
second one raises RecorderBusy. When told to stop it empties the journal as it is and ends.
"""

from __future__ import annotations

import asyncio
import logging
import sys

from api.child import stop_requested
from api.logs import configure_logging
from api.settings import Settings, load
from storage.recorder_process import RecorderBusy, record_forever

_log = logging.getLogger("amos.recorder_process")


async def record(settings: Settings, *, watches_parent: bool) -> None:
    """Record until told to stop. Raises RecorderBusy if the data directory has a recorder already."""
    async with stop_requested(watches_parent=watches_parent) as stop:
        await record_forever(settings.data_dir, settings.database_url, stop)


def main() -> None:
    """The recorder as the supervisor's child; ends with status 1 if the data directory has one already."""
    settings = load()
    configure_logging(settings.log_level)
    try:
        asyncio.run(record(settings, watches_parent=True))
    except RecorderBusy as busy:
        # No fault of ours: the supervisor tries again until that one has left.
        _log.warning("%s", busy)
        sys.exit(1)


if __name__ == "__main__":
    main()
