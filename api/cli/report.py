"""`amos report`: health, hit rate and latency, computed from the recorded events."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

import typer

from api.cli.options import JsonOption, KeyFileOption, UrlOption

Name = Literal["health", "hit-rate", "latency", "cost"]


def report(  # noqa: PLR0917 - each is an option of the command line
    name: Annotated[Name, typer.Argument(help="Which report.")],
    since: Annotated[
        str | None, typer.Option(help="Begin: an age such as 90m, 24h, 7d, or a moment. [default: 24h]")
    ] = None,
    until: Annotated[str | None, typer.Option(help="End, in the same forms. [default: now]")] = None,
    by: Annotated[str | None, typer.Option(help="Group by this, such as provider or hour.")] = None,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show health, hit rate or latency.

    The figures are computed from the recorded events.
    """
    from api.cli.batch import Question, ask_all  # noqa: PLC0415
    from api.cli.report_view import report_view  # noqa: PLC0415

    given = {"since": since, "until": until, "by": by}
    parameters = {key: value for key, value in given.items() if value is not None}
    question = Question(f"{name} report", lambda gateway: gateway.report(name, parameters))
    raise typer.Exit(
        asyncio.run(ask_all([question], report_view, url=url, key_file=key_file, as_json=as_json))
    )
