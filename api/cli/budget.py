"""`amos budget`: what may be spent and what was, here or on a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.asking import show_answer
from api.cli.options import JsonOption, KeyFileOption, UrlOption

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType


def budget(
    reconcile: Annotated[
        bool,
        typer.Option("--reconcile", help="Ask the providers first what they have counted; once a minute."),
    ] = False,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every limit and what was spent of it. Says whether the providers count the same."""
    ask = lambda gateway: gateway.budget(reconcile=reconcile)  # noqa: E731 - it is passed on
    show_answer("budget", ask, budget_view, url, key_file, as_json=as_json)


def budget_view(body: Mapping[str, Any]) -> RenderableType:
    """The report, with a word of advice where there is nothing to show."""
    from rich.console import Group  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from api.cli.report_view import report_view  # noqa: PLC0415

    notes = []
    if not body["accounts"]:
        notes.append("Nothing is limited; AMOS_BUDGET_USD_PER_DAY and others do that (.env.example).")
    if not body["usage"] and not body.get("not_told", True):
        notes.append("No provider has a key, so none has counted anything.")
    elif not body["usage"]:
        notes.append("No provider was asked yet what it has counted; --reconcile does.")
    told = {name: value for name, value in body.items() if name != "not_told" or value}
    return Group(report_view(told), *(Text(f"\n{note}", style="dim") for note in notes))
