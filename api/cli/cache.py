"""`amos cache`: what is kept, and throwing it away, in what instances share and in the memory of servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from api.cli import output
from api.cli.asking import show_answer
from api.cli.cache_warm import warm
from api.cli.consent import is_agreed, require_person
from api.cli.options import JsonOption, KeyFileOption, UrlOption

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType


app = typer.Typer(help="Look at the cache, clear it, warm it.")


app.command()(warm)


@app.command()
def stats(url: UrlOption = None, key_file: KeyFileOption = None, as_json: JsonOption = False) -> None:
    """Show what each tier of the cache holds and may hold.

    Without --url that is what instances share; the memory of a server only the server knows.
    """
    show_answer("the cache", lambda gateway: gateway.cache_stats(), _view, url, key_file, as_json=as_json)


@app.command()
def clear(
    tier: Annotated[
        Literal["l1", "l2"] | None,
        typer.Option(help="Only the memory of all servers (l1), or only what they share (l2)."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Throw away cached answers. What was paid for is paid for again when it is asked."""
    if not yes:
        require_person("Clearing the cache", "Say so with --yes.")
        what = {None: "all cached answers", "l1": "what all servers have in memory", "l2": "what they share"}
        if not is_agreed(f"Throw away {what[tier]}?"):
            return
    show_answer(
        "clearing the cache",
        lambda gateway: gateway.clear_cache(tier or ""),
        _cleared,
        url,
        key_file,
        as_json=as_json,
    )


def _view(body: dict[str, Any]) -> RenderableType:
    from rich.text import Text  # noqa: PLC0415

    from api.cli.terminal_text import one_line  # noqa: PLC0415
    from api.quantities import ABSENT, number, ratio, size  # noqa: PLC0415

    if memory := body["memory"]:
        used, limit = memory["used_bytes"], memory["limit_bytes"]
        output.message(
            f"Memory: {size(used)} of {size(limit)} ({ratio(used / limit)}), says {memory['source']}."
            + (" It is short, so the cache holds less than configured." if memory["is_short"] else "")
        )
    output.message("How often it had the answer: `amos report hit-rate`.")
    columns: dict[str, Callable[[Any], str]] = {
        "tier": str,
        "status": str,
        "entries": number,
        "bytes": size,
        "bytes_max": size,
        "bytes_configured": size,
        "evictions": number,
        "detail": one_line,
    }
    rows = [
        [Text(ABSENT if tier[name] in (None, "") else form(tier[name])) for name, form in columns.items()]
        for tier in body["tiers"]
    ]
    return output.table(_HEADINGS, rows)


_HEADINGS = ("tier", "status", "entries", "holds", "may hold", "configured", "evictions", "")


def _cleared(body: dict[str, Any]) -> RenderableType:
    from rich.text import Text  # noqa: PLC0415

    from api.quantities import number, seconds  # noqa: PLC0415

    places = {"l2": "that instances shared", "l1": "in the memory of that server"}
    gone = [
        f"{number(body['entries'][tier])} {place}"
        for tier, place in places.items()
        if tier in body["entries"]
    ]
    said = [f"Answers thrown away: {', '.join(gone)}."] if gone else []
    if (within_s := body["elsewhere_within_s"]) is not None:
        said.append(f"Every server empties its memory within {seconds(within_s)}.")
    return Text(" ".join(said))
