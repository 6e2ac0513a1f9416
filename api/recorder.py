"""The recorder process: drains every worker's journal into SQL, whoever wrote it and whether they still live.

Run as `python -m api.recorder` by the supervisor, or alone as `amos recorder`. One per data directory; a
second one raises RecorderBusy. When told to stop it empties the journal as it is and ends.
"""

from __future__ import annotations

import asyncio

from api.child import stop_requested
from api.logs import configure_logging
from api.settings import Settings, load
from storage.recorder_process import record_forever


async def record(settings: Settings, *, watches_parent: bool) -> None:
    """Record until told to stop. Raises RecorderBusy if the data directory has a recorder already."""
    async with stop_requested(watches_parent=watches_parent) as stop:
        await record_forever(settings.data_dir, settings.database_url, stop)


def main() -> None:
    """The recorder as the supervisor's child."""
    settings = load()
    configure_logging(settings.log_level)
    asyncio.run(record(settings, watches_parent=True))


if __name__ == "__main__":
    main()
