"""`amos events verify` and `replay`: all frames are counted again and compared with the figures in use."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from api.cli import output
from api.cli.events_verify_view import verdict_view
from api.cli.failure import EXIT_FAILURE, CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from api.settings import Settings
    from storage.sql_rebuild import Tell, Verdict

    Recount = Callable[[str, Tell], Coroutine[Any, Any, Verdict]]

INTERRUPTED = (
    "Interrupted: the figures in use are as they were. The next run removes what this one had begun."
)


def run_verify(*, as_json: bool) -> int:
    """Compare the figures in use with the frames; the exit code: 1 for any difference or missing frame."""
    from storage.sql_rebuild import verify  # noqa: PLC0415

    return _run(verify, as_json=as_json)


def run_replay(*, despite_holes: bool, as_json: bool) -> int:
    """Replace the figures in use by those counted from the frames; the exit code: 1 if they were not."""
    from storage.sql_rebuild import replay  # noqa: PLC0415

    return _run(partial(replay, despite_holes=despite_holes), as_json=as_json, is_replacing=True)


@contextmanager
def at_work() -> Iterator[None]:
    """What long work on the database raises, as a person is told it."""
    from storage.sql_upkeep import UpkeepBusy  # noqa: PLC0415

    try:
        yield
    except UpkeepBusy as busy:
        raise CommandError(str(busy), "Wait for its end; two of them would undo each other's work.") from busy


def _run(recount: Recount, *, as_json: bool, is_replacing: bool = False) -> int:
    from api.settings import load  # noqa: PLC0415

    settings = load()
    with at_work():
        verdict = asyncio.run(_recount(settings, recount))
    damaged = _damaged(settings)
    if as_json:
        output.data_json(
            {
                "is_sound": verdict.is_sound and not damaged,
                **msgspec.to_builtins(verdict),
                "damaged_segments": damaged,
            }
        )
    else:
        output.data(verdict_view(verdict, damaged))
    if is_replacing and not verdict.is_replaced:
        output.message("Nothing was replaced; --despite-holes takes the counts of the missing frames away.")
    return 0 if verdict.is_replaced or (verdict.is_sound and not damaged) else EXIT_FAILURE


async def _recount(settings: Settings, recount: Recount) -> Verdict:
    from api.cli.in_process import bring_in  # noqa: PLC0415

    await bring_in(settings)
    try:
        with output.progress_by_phase() as tell:
            return await recount(settings.database_url, tell)
    except asyncio.CancelledError:
        output.message(INTERRUPTED)
        raise


def _damaged(settings: Settings) -> list[str]:
    """The names of segments that were set aside because stretches of them could not be read."""
    from storage.file_segments import list_damaged  # noqa: PLC0415

    return [path.name for path in list_damaged(settings.data_dir / "journal")]
