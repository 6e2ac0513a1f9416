"""`amos extract`: the readable text of pages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from api.cli.options import JsonOption, KeyFileOption, UrlOption, from_arguments
from orchestrator.limits import URLS_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

Depth = Literal["basic", "advanced"]
Format = Literal["markdown", "text"]


def extract(  # noqa: PLR0917 - each is an option of the command line
    urls: Annotated[
        list[str],
        typer.Argument(metavar="URL...", help="The pages to read. - reads one URL a line from stdin."),
    ],
    format_: Annotated[
        Format | None, typer.Option("--format", help="The form of the text. [default: markdown]")
    ] = None,
    depth: Annotated[
        Depth | None, typer.Option(help="advanced reads tables and embedded parts; costs twice.")
    ] = None,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the readable text of web pages."""
    from api.cli.batch import Question, ask_all  # noqa: PLC0415
    from api.cli.search_view import extract_view  # noqa: PLC0415

    options: dict[str, Any] = {"format": format_, "extract_depth": depth}
    given = {name: value for name, value in options.items() if value is not None}

    def question(group: list[str]) -> Question:
        return Question(" ".join(group), lambda gateway: gateway.extract({"urls": group, **given}))

    groups = grouped(from_arguments(urls), URLS_MAX)
    work = ask_all(list(map(question, groups)), extract_view, url=url, key_file=key_file, as_json=as_json)
    raise typer.Exit(asyncio.run(work))


def grouped(urls: Sequence[str], size: int) -> list[list[str]]:
    """The URLs without repetitions, in groups of at most `size`: what one call may ask for."""
    unique = list(dict.fromkeys(urls))
    return [unique[start : start + size] for start in range(0, len(unique), size)]
