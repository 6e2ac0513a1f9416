"""`amos doctor`: what is wrong, since when, what callers feel of it, and what to do; the worst first."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli import output
from api.cli.failure import EXIT_FAILURE
from api.cli.options import JsonOption, KeyFileOption

if TYPE_CHECKING:
    from api.cli.doctor_finding import Finding
    from api.settings import Settings

DoctorUrlOption = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="Ask this server; without it this machine is looked at."),
]


def doctor(
    online: Annotated[
        bool, typer.Option("--online", help="Ask each configured provider once; that costs a call each.")
    ] = False,
    url: DoctorUrlOption = None,
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what is wrong, the worst first, and what to do about it.

    Nothing is changed, and without --online no provider is called. A failure found is exit code 1.
    """
    if online and url is not None:
        raise typer.BadParameter("--online asks from this machine; give either it or --url.")
    from api.cli.doctor_finding import FAILURE, explained  # noqa: PLC0415

    findings = explained(asyncio.run(_findings(url, key_file, is_online=online)))
    if as_json:
        output.data_json({"findings": findings})
    else:
        from api.cli.doctor_view import doctor_view  # noqa: PLC0415

        output.data(*doctor_view(findings))
    if any(finding.status == FAILURE for finding in findings):
        raise typer.Exit(EXIT_FAILURE)


async def _findings(url: str | None, key_file: Path | None, *, is_online: bool) -> list[Finding]:
    if url is not None:
        from api.cli.doctor_server import check_server  # noqa: PLC0415

        return await check_server(url, key_file)
    from api.settings import load  # noqa: PLC0415

    logging.disable()  # what parts of AMOS would log of their troubles is what the findings say
    try:
        return await _look(load(), is_online=is_online)
    finally:
        logging.disable(logging.NOTSET)


async def _look(settings: Settings, *, is_online: bool) -> list[Finding]:
    from api.cli import doctor_checks as machine  # noqa: PLC0415
    from api.cli.doctor_port import check_port  # noqa: PLC0415
    from api.cli.doctor_providers import ask_provider, check_providers, ready  # noqa: PLC0415
    from api.cli.doctor_redis import check_redis  # noqa: PLC0415
    from api.cli.doctor_start import check_start  # noqa: PLC0415
    from storage.file_segments import directory_bytes  # noqa: PLC0415
    from storage.file_status import read_status  # noqa: PLC0415

    providers = await check_providers(settings)
    is_running = machine.is_locked(settings.data_dir / "recorder.lock")
    status = read_status(settings.data_dir)
    backlog_bytes = directory_bytes(settings.data_dir / "journal")
    found = [
        machine.check_sqlite(),
        machine.check_data_dir(settings.data_dir),
        machine.check_disk(settings.data_dir, settings.journal_max_bytes),
        machine.check_journal(settings.data_dir / "journal", backlog_bytes, settings.journal_max_bytes),
        machine.check_recorder(
            status,
            time.time(),
            is_running=is_running,
            backlog_bytes=backlog_bytes,
            backlog_bytes_max=settings.journal_max_bytes,
        ),
        *await _record(settings, is_running=is_running),
        *await check_start(settings),
        await check_port(settings),
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


async def _record(settings: Settings, *, is_running: bool) -> list[Finding]:
    """The database and, where it can be read, what is in it."""
    from api.cli import doctor_checks as machine  # noqa: PLC0415
    from api.cli.doctor_finding import OK  # noqa: PLC0415
    from api.cli.doctor_record import read_record  # noqa: PLC0415
    from storage.file_status import read_status  # noqa: PLC0415
    from storage.sql_address import read_address  # noqa: PLC0415
    from storage.sql_schema import current, head  # noqa: PLC0415

    address = read_address(settings.database_url)
    schema = await machine.check_database(address, current(settings.database_url), head() or "")
    if schema.status != OK:  # nobody can tell what the reports have counted
        return [schema]
    # A running recorder writes all the time, and says itself if it cannot.
    found = (
        []
        if is_running or address.path is None or not address.path.exists()
        else machine.check_lock(address.path)
    )
    record = await read_record(settings)
    status = read_status(settings.data_dir)
    counted = machine.check_reports(status, is_running=is_running, behind=record.behind, now=time.time())
    return [*(found or [schema]), counted, *record.findings]
