"""`amos search`: asks the gateway and shows the results and why they are these."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from api.cli.options import STDIN, JsonOption, KeyFileOption, UrlOption, lines_of_stdin

if TYPE_CHECKING:
    from collections.abc import Sequence

Depth = Literal["basic", "advanced", "fast", "ultra-fast"]
Topic = Literal["general", "news", "finance"]
TimeRange = Literal["day", "week", "month", "year"]


def search(  # noqa: PLR0917 - each is an option of the command line
    query: Annotated[
        list[str],
        typer.Argument(
            metavar="QUERY...",
            help="What to search for; several words are one query. - reads one query a line from stdin.",
        ),
    ],
    max_results: Annotated[
        int | None,
        typer.Option(
            "-n", "--max-results", min=0, metavar="COUNT", help="At most this many results. [default: 5]"
        ),
    ] = None,
    depth: Annotated[
        Depth | None, typer.Option(help="How thoroughly to search; advanced costs twice.")
    ] = None,
    topic: Annotated[Topic | None, typer.Option(help="What kind of source to search.")] = None,
    include_domain: Annotated[
        list[str] | None, typer.Option(metavar="DOMAIN", help="Only results from here; may be repeated.")
    ] = None,
    exclude_domain: Annotated[
        list[str] | None, typer.Option(metavar="DOMAIN", help="No results from here; may be repeated.")
    ] = None,
    time_range: Annotated[TimeRange | None, typer.Option(help="Only what was published lately.")] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Ask for the text of each page as well (shown by --json).")
    ] = False,
    answer: Annotated[
        bool, typer.Option("--answer", help="Ask for a written answer above the results.")
    ] = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Fetch again what is in the cache; costs.")
    ] = False,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search and say why these are the results.

    The providers are asked in their order; without a key for the web the local folders are searched.
    """
    from api.cli.batch import Question, ask_all  # noqa: PLC0415
    from api.cli.search_view import search_view  # noqa: PLC0415

    options = {
        "max_results": max_results,
        "search_depth": depth,
        "topic": topic,
        "include_domains": include_domain,
        "exclude_domains": exclude_domain,
        "time_range": time_range,
        "include_raw_content": raw or None,
        "include_answer": answer or None,
    }

    def question(text: str) -> Question:
        return Question(text, lambda gateway: gateway.search(search_body(text, options), no_cache=no_cache))

    work = ask_all(
        list(map(question, queries(query))), search_view, url=url, key_file=key_file, as_json=as_json
    )
    raise typer.Exit(asyncio.run(work))


def queries(arguments: Sequence[str]) -> list[str]:
    """The queries of a command line: its words are one; with `-` alone each line of standard input is one."""
    return lines_of_stdin() if list(arguments) == [STDIN] else [" ".join(arguments)]


def search_body(query: str, options: dict[str, Any]) -> dict[str, Any]:
    """The Tavily request body; an option that was not given is not sent."""
    return {
        "query": query,
        **{name: value for name, value in options.items() if value is not None and value != []},
    }
