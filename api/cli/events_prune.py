"""`amos events prune`: deletes old frames; the reports keep what they had added."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from api.cli import output
from api.cli.consent import YES_OR_LOOK, is_agreed, require_person
from api.cli.events_verify import at_work
from api.cli.failure import EXIT_USAGE, CommandError
from api.quantities import moment, number, size

if TYPE_CHECKING:
    from api.settings import Settings
    from storage.sql_prune import Prunable, Pruned


def run_prune(before: str, *, is_dry: bool, is_sure: bool, as_json: bool) -> None:
    """Delete the frames recorded before an age or a moment, after a question."""
    from api.settings import load  # noqa: PLC0415

    border = border_of(before, time.time())
    settings = load()
    with at_work():
        found = asyncio.run(_survey(settings, border))
        if is_dry or not found.frames:
            _show(border, found, None, as_json=as_json)
            return
        if not is_sure and not _is_agreed(border, found):
            return
        pruned = asyncio.run(_prune(settings, border))
    _show(border, found, pruned, as_json=as_json)
    output.message(_space(settings))


def border_of(before: str, now: float) -> float:
    """The moment before which frames go, in epoch seconds. Raises InvalidRequest, CommandError."""
    from api.moments import moment as read_moment  # noqa: PLC0415
    from storage.sql_prune import AGE_S_MIN  # noqa: PLC0415

    border = read_moment("--before", before, now)
    if border > now - AGE_S_MIN:
        raise CommandError(
            "--before: frames younger than a day stay, because traces may still be made of them.",
            "Give an age such as 90d, or a moment such as 2026-01-01.",
            exit_code=EXIT_USAGE,
        )
    return border


async def _survey(settings: Settings, border: float) -> Prunable:
    from api.cli.in_process import bring_in  # noqa: PLC0415
    from storage.sql_prune import survey  # noqa: PLC0415

    await bring_in(settings)
    return await survey(settings.database_url, border)


async def _prune(settings: Settings, border: float) -> Pruned:
    from storage.sql_prune import prune  # noqa: PLC0415

    try:
        with output.progress("pruning") as advance:
            return await prune(settings.database_url, border, advance)
    except asyncio.CancelledError:
        output.message("Interrupted: what was deleted is counted, the rest is there. Prune again to go on.")
        raise


def _is_agreed(border: float, found: Prunable) -> bool:
    output.message(
        f"{_amount(found)} recorded before {moment(border)} would be deleted for good.\n"
        "Lost: the details of those executions (`amos events show`, `/executions`), their raw events, and "
        "whose the texts of their queries were (`amos events erase --client`).\n"
        "Kept: every figure of every report."
    )
    require_person("Pruning", YES_OR_LOOK)
    return is_agreed("Delete them?")


def _show(border: float, found: Prunable, pruned: Pruned | None, *, as_json: bool) -> None:
    if as_json:
        done = {"pruned_frames": pruned.frames, "kept_frames": pruned.kept} if pruned else {}
        output.data_json({"before": border, **found._asdict(), **done})
        return
    if not found.frames:
        output.line(f"Nothing that can be pruned was recorded before {moment(border)}.")
        return
    if pruned is None:
        output.line(f"{_amount(found)} recorded before {moment(border)} could be deleted.")
        return
    output.line(f"{number(pruned.frames)} frames recorded before {moment(border)} are deleted.")
    if pruned.kept:
        output.message(
            f"{number(pruned.kept)} frames as old stay, because something in them is not counted; "
            "`amos events verify` says more."
        )


def _amount(found: Prunable) -> str:
    return f"{number(found.frames)} frames with about {size(found.event_bytes)} of events"


def _space(settings: Settings) -> str:
    from storage.sql_address import SQLITE, read_address  # noqa: PLC0415

    address = read_address(settings.database_url)
    if address.engine == SQLITE:
        return (
            "The file keeps its size, and new frames use the room. To give it back to the disk, stop the "
            f"server and run: sqlite3 {address.shown} VACUUM"
        )
    return "Autovacuum makes the room free for new frames; VACUUM FULL gives it back to the disk."
