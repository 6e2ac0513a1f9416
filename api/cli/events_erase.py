"""`amos events erase`: erases texts of queries, the only words of callers that the record keeps."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli import output
from api.cli.consent import YES_OR_LOOK, is_agreed, require_person
from api.cli.failure import EXIT_USAGE, CommandError
from api.cli.options import STDIN, JsonOption, lines_of_stdin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from api.settings import Settings
    from storage.sql_texts import SqlTexts

SETTLE_S = 10.0
"""chosen: a recorder at work has taken over what waits within a second; one that has not is in trouble."""

LOOK_S = 0.1
"""chosen: between two looks at the recorder's status, which it writes once a second."""


def erase(
    query: Annotated[
        str, typer.Option("--query", metavar="TEXT", help="The text of a query; - reads one from each line.")
    ] = "",
    client: Annotated[
        str, typer.Option("--client", metavar="NAME", help="Every text this client has searched for.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell how many texts that would be.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Erase texts of queries for good. Events stay: they hold no text."""
    from api.settings import load  # noqa: PLC0415
    from storage.file_segments import list_damaged  # noqa: PLC0415

    if bool(query.strip()) == bool(client):
        raise CommandError("Name either --query or --client.", exit_code=EXIT_USAGE)
    if not (yes or dry_run):
        require_person("Erasing", YES_OR_LOOK)
    texts = lines_of_stdin() if query == STDIN else [query] if query else []
    settings = load()
    is_settled, keys = asyncio.run(_survey(settings, texts, client))
    if dry_run:
        _tell("would be erased", len(keys), as_json=as_json, is_dry=True)
        return
    # Asked between two event loops: while one runs, the first Ctrl-C would not end the wait for the answer.
    if keys and not yes and not is_agreed(f"Erase {_count(len(keys))} for good?"):
        return
    _tell("erased", asyncio.run(_erase(settings, keys)), as_json=as_json)
    if not is_settled:
        output.message(
            "The recorder has not taken over what waits in the journal; texts in there are not erased. "
            "`amos doctor` says why; erase again afterwards."
        )
    if list_damaged(settings.data_dir / "journal"):
        output.message(
            "Segments that were set aside as damaged may hold texts: delete *.seg.damaged in "
            f"{settings.data_dir / 'journal'} when you have looked at them."
        )


async def _survey(settings: Settings, texts: list[str], client: str) -> tuple[bool, set[str]]:
    """Whether everything is in the database, and the keys of the texts that are meant."""
    is_settled = await _settle(settings)
    async with _texts(settings) as store:
        return is_settled, await _found(store, texts, client)


async def _erase(settings: Settings, keys: set[str]) -> int:
    async with _texts(settings) as store:
        return await store.erase(keys)


@asynccontextmanager
async def _texts(settings: Settings) -> AsyncIterator[SqlTexts]:
    from storage.sql_engine import open_engine  # noqa: PLC0415
    from storage.sql_texts import SqlTexts  # noqa: PLC0415

    engine = open_engine(settings.database_url, writer=True)
    try:
        yield SqlTexts(engine)
    finally:
        await engine.dispose()


async def _found(store: SqlTexts, texts: list[str], client: str) -> set[str]:
    with output.waiting("looking for texts"):
        if client:
            return await store.keys_of_client(client)
        return await store.keys_of(texts)


async def _settle(settings: Settings) -> bool:
    """Bring what waits in the journal into the database; tells whether that is done.

    Otherwise a text that still waits there would come in after it was erased. Raises EventLogUnavailable.
    """
    from api.cli.in_process import bring_in  # noqa: PLC0415
    from storage.file_status import read_status  # noqa: PLC0415

    begun_at = time.time()
    await bring_in(settings)
    while True:
        status = read_status(settings.data_dir)
        if status is not None and status.drained_at >= begun_at:
            return True
        if time.time() > begun_at + SETTLE_S:
            return False
        await asyncio.sleep(LOOK_S)


def _count(number: int) -> str:
    return f"{number} text{'' if number == 1 else 's'} of queries"


def _tell(what: str, number: int, *, as_json: bool, is_dry: bool = False) -> None:
    if as_json:
        output.data_json({"texts": number, "dry_run": is_dry})
    else:
        output.line(f"{_count(number)} {what}")
