"""`amos index`: brings the index of the local provider up to date, before anybody has to wait for it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli import output
from api.cli.failure import CommandError
from api.cli.options import JsonOption

if TYPE_CHECKING:
    from api.settings import Settings
    from orchestrator.providers.local_scan import IndexReport

SKIPPED_SHOWN_MAX = 10
"""chosen: enough to see a pattern; --json has all of them."""


def index(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...", help="Further folders of Markdown, text and HTML, beside AMOS_LOCAL_PATHS."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Index the folders of the local provider.

    Searches do that by themselves, but the first one has to wait for it. Only what changed is read.
    """
    from api.settings import load  # noqa: PLC0415

    settings = load()
    known = list(settings.local_folders)
    # Together with the folders in force, whose documents would otherwise leave the index.
    folders = [*known, *(path for path in paths or () if path not in known)]
    if not folders:
        raise CommandError("There is no folder to index.", "Name one, or set AMOS_LOCAL_PATHS.")
    alone = settings.model_copy(update={"providers": ("local",), "local_paths": tuple(folders)})
    report = asyncio.run(_index(alone))
    _show(report, as_json=as_json)
    searched = {folder.resolve() for folder in known}
    if any(path.expanduser().resolve() not in searched for path in folders):
        output.message("To keep these folders in the index and search them, name them in AMOS_LOCAL_PATHS.")


async def _index(settings: Settings) -> IndexReport:
    from api.providers import roster_of  # noqa: PLC0415
    from orchestrator.clock import SystemClock  # noqa: PLC0415
    from orchestrator.providers.local import Local  # noqa: PLC0415

    (local,) = roster_of(settings, SystemClock()).providers
    assert isinstance(local, Local)
    try:
        with output.progress("indexing") as advance:
            return await local.index(lambda done, total, _: advance(done, total))
    finally:
        await local.aclose()


def _show(report: IndexReport, *, as_json: bool) -> None:
    documents = report.added + report.updated + report.unchanged
    if as_json:
        skipped = [{"path": path, "reason": reason} for path, reason in report.skipped]
        output.data_json({"documents": documents, **report._asdict(), "skipped": skipped})
        return
    output.line(
        f"{documents} documents: {report.added} added, {report.updated} updated, {report.removed} removed, "
        f"{report.unchanged} unchanged, {len(report.skipped)} skipped"
    )
    for path, reason in report.skipped[:SKIPPED_SHOWN_MAX]:
        output.message(f"skipped {path}: {reason}")
    if len(report.skipped) > SKIPPED_SHOWN_MAX:
        output.message(f"... and {len(report.skipped) - SKIPPED_SHOWN_MAX} more; --json has all of them")
