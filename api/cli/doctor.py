"""`amos doctor`: what is configured, what works, and what to do about the rest."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli import output
from api.cli.failure import EXIT_FAILURE
from api.cli.options import JsonOption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from api.cli.doctor_checks import Finding
    from api.settings import Settings

STATUS_STYLES = {"ok": "green", "unconfigured": "dim", "warning": "yellow", "failure": "bold red"}


def doctor(
    online: Annotated[
        bool, typer.Option("--online", help="Ask each configured provider once; that costs a call each.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check what AMOS needs and show the settings in force.

    Nothing is changed, and without --online no provider is called. A failure found is exit code 1.
    """
    from api.settings import load  # noqa: PLC0415

    settings = load()
    findings = asyncio.run(_look(settings, is_online=online))
    if as_json:
        output.data_json({"settings": settings.masked(), "findings": findings})
    else:
        output.data(*_view(settings, findings))
    if any(finding.status == "failure" for finding in findings):
        raise typer.Exit(EXIT_FAILURE)


async def _look(settings: Settings, *, is_online: bool) -> list[Finding]:
    from api.cli import doctor_checks as machine  # noqa: PLC0415
    from api.cli.doctor_providers import ask_provider, check_providers, ready  # noqa: PLC0415
    from api.cli.doctor_redis import check_redis  # noqa: PLC0415
    from api.cli.doctor_start import check_start  # noqa: PLC0415
    from storage.file_segments import directory_bytes  # noqa: PLC0415
    from storage.file_status import read_status  # noqa: PLC0415
    from storage.sql_address import read_address  # noqa: PLC0415
    from storage.sql_schema import current, head  # noqa: PLC0415

    providers = await check_providers(settings)
    is_running = machine.is_locked(settings.data_dir / "recorder.lock")
    url = settings.database_url
    schema = await machine.check_database(read_address(url), current(url), head() or "")
    reports = []
    if schema.status == machine.OK:  # otherwise nobody can tell what the reports have counted
        behind = await _frames_behind(settings)
        status = read_status(settings.data_dir)
        reports = [machine.check_reports(status, is_running=is_running, behind=behind, now=time.time())]
    found = [
        machine.check_sqlite(),
        machine.check_data_dir(settings.data_dir),
        machine.check_disk(settings.data_dir, settings.journal_max_bytes),
        machine.check_recorder(
            is_running=is_running,
            backlog_bytes=directory_bytes(settings.data_dir / "journal"),
            backlog_bytes_max=settings.journal_max_bytes,
        ),
        schema,
        *reports,
        *await check_start(settings),
        *await check_redis(settings),
        *(
            [machine.check_traces(settings.data_dir, is_running=is_running)]
            if settings.exports_traces
            else []
        ),
        *providers,
    ]
    if is_online:
        with output.waiting("asking the providers"):
            for name in ready(providers):
                found += await ask_provider(settings, name)
    return found


async def _frames_behind(settings: Settings) -> int:
    """How many frames the reports have not counted; 0 if the database cannot say."""
    from orchestrator.errors import EventLogUnavailable  # noqa: PLC0415
    from storage.sql_engine import open_engine  # noqa: PLC0415
    from storage.sql_projector import frames_behind  # noqa: PLC0415

    engine = open_engine(settings.database_url)
    try:
        return await frames_behind(engine)
    except EventLogUnavailable:
        return 0
    finally:
        await engine.dispose()


def _view(settings: Settings, findings: list[Finding]) -> Iterator[RenderableType]:
    from rich.text import Text  # noqa: PLC0415

    from api.cli.terminal_text import one_line  # noqa: PLC0415

    for name, value in settings.masked().items():
        yield Text.assemble((f"{name}=", "dim"), one_line(value))
    yield Text()
    for finding in findings:
        style = STATUS_STYLES[finding.status]
        yield Text.assemble((f"{finding.status:<12}", style), f" {finding.name}: {one_line(finding.detail)}")
        if finding.next_step:
            yield Text(f"             {finding.next_step}", style="italic")
