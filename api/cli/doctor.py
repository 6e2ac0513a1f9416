"""`amos doctor`: what is configured, what works, and what to do about the rest."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli import output
from api.cli.failure import EXIT_FAILURE
from api.cli.options import JsonOption
from orchestrator.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from api.cli.doctor_checks import Finding
    from api.settings import Settings

STATUS_STYLES = {"ok": "green", "warning": "yellow", "failure": "bold red"}

QUESTION = "search gateway"
"""What --online asks every provider: harmless, short, and found everywhere."""


def doctor(
    online: Annotated[
        bool, typer.Option("--online", help="Ask each configured provider once; that costs a call each.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the settings in force and check what AMOS needs; changes nothing, except with --online."""
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
    found = [*_files(settings), await _schema(settings), *await _providers(settings)]
    if is_online:
        with output.waiting("asking the providers"):
            found += [
                await _ask(settings, name) for name in settings.providers if _is_configured(settings, name)
            ]
    return found


def _files(settings: Settings) -> Iterator[Finding]:
    from api.cli import doctor_checks as checks  # noqa: PLC0415
    from storage.file_segments import directory_bytes  # noqa: PLC0415

    yield checks.check_sqlite()
    yield checks.check_data_dir(settings.data_dir)
    yield checks.check_disk(settings.data_dir, settings.journal_max_bytes)
    yield checks.check_recorder(
        is_running=checks.is_locked(settings.data_dir / "recorder.lock"),
        backlog_bytes=directory_bytes(settings.data_dir / "journal"),
        backlog_bytes_max=settings.journal_max_bytes,
    )


async def _schema(settings: Settings) -> Finding:
    from api.cli.db import database_path, revision  # noqa: PLC0415
    from api.cli.doctor_checks import FAILURE, Finding, check_schema  # noqa: PLC0415
    from storage.sql_schema import head  # noqa: PLC0415

    path = database_path(settings)
    try:
        found = await revision(settings)
    except GatewayError as error:
        step = "If the file is damaged, move it away: what the journal still holds is brought into a new one."
        return Finding(name="database", status=FAILURE, detail=f"{path}: {error.message}", next_step=step)
    return check_schema(None if not path.exists() else found or "", head() or "", str(path))


async def _providers(settings: Settings) -> list[Finding]:
    """Each provider of the chain, and what an unconfigured one lacks; making them calls nobody."""
    from api.cli.doctor_checks import FAILURE, OK, WARNING, Finding  # noqa: PLC0415
    from api.composition import providers  # noqa: PLC0415
    from orchestrator.clock import SystemClock  # noqa: PLC0415

    try:
        roster = providers(settings, SystemClock())
    except GatewayError as error:
        return [Finding(name="providers", status=FAILURE, detail=error.message)]
    lacks = {one.name: one.reason for one in roster.unconfigured}
    for provider in roster.providers:
        await provider.aclose()
    found = [
        Finding(name=f"provider {name}", status=OK, detail=_configured(name, lacks, settings))
        for name in settings.providers
    ]
    if not roster.providers:
        step = "Set TAVILY_API_KEY or JINA_API_KEY, or name folders in AMOS_LOCAL_PATHS."
        found.append(Finding(name="providers", status=WARNING, detail="none is configured", next_step=step))
    return found


def _configured(name: str, lacks: dict[str, str], settings: Settings) -> str:
    if name in lacks:
        return f"unconfigured: {lacks[name]}"
    return f"searches {', '.join(map(str, settings.local_folders))}" if name == "local" else "configured"


def _is_configured(settings: Settings, name: str) -> bool:
    return bool(settings.local_folders) if name == "local" else settings.api_key(name) is not None


async def _ask(settings: Settings, name: str) -> Finding:
    """One search at one provider, alone: recorded and billed as every other search is."""
    from api.cli.doctor_checks import FAILURE, OK, Finding  # noqa: PLC0415
    from api.cli.quantities import seconds  # noqa: PLC0415
    from api.composition import standalone  # noqa: PLC0415
    from orchestrator.model import CacheControl, Caller, SearchRequest  # noqa: PLC0415

    alone = settings.model_copy(update={"providers": (name,), "local_paths": settings.local_folders})
    caller = Caller(door="cli", is_local_operator=True, cache_control=CacheControl(no_cache=True))
    async with standalone(alone) as gateway:
        call = gateway.open(SearchRequest(query=QUESTION, max_results=1), caller)
        try:
            response = await gateway.search(call)
        except GatewayError as error:
            step = f"Check key, quota and address; see `amos events show {call.trail.execution_id}`."
            return Finding(name=f"online {name}", status=FAILURE, detail=error.message, next_step=step)
    took = seconds(sum(attempt.duration_s for attempt in response.attempts))
    return Finding(name=f"online {name}", status=OK, detail=f"answered in {took}")


def _view(settings: Settings, findings: list[Finding]) -> Iterator[RenderableType]:
    from rich.text import Text  # noqa: PLC0415

    from api.cli.terminal_text import one_line  # noqa: PLC0415

    for name, value in settings.masked().items():
        yield Text.assemble((f"{name}=", "dim"), one_line(value))
    yield Text()
    for finding in findings:
        style = STATUS_STYLES[finding.status]
        yield Text.assemble((f"{finding.status:<8}", style), f" {finding.name}: {one_line(finding.detail)}")
        if finding.next_step:
            yield Text(f"         {finding.next_step}", style="italic")
