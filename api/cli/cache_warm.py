"""`amos cache warm`: fetches what is asked most, before somebody has to wait for it."""

from __future__ import annotations

import asyncio
import math
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli import output
from api.cli.connection import connect
from api.cli.consent import YES_OR_LOOK, is_agreed, require_person
from api.cli.failure import EXIT_FAILURE
from api.cli.options import JsonOption, KeyFileOption, UrlOption
from api.quantities import dollars, number, seconds

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

ENDS = {
    "budget": "The money for it is spent.",
    "time": "Its time is over.",
    "provider": "The first provider does not answer, so the rest was left to callers.",
    "record": "Nothing could be recorded any more; `amos doctor` says why.",
}
"""Why a run has ended before its end."""

STYLES = {"warmed": "green", "failed": "red", "unknown": "yellow"}


def warm(  # noqa: PLR0917 - each is an option of the command line
    top: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="COUNT", help="How many of the searches asked most. [default: AMOS_WARM_TOP]"
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="Asked since: an age such as 7d, or a moment. [default: 7d]"),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(metavar="USD", help="What it may cost in dollars. [default: AMOS_WARM_USD_MAX]"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be fetched.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch what is asked most ahead of time. Only what is not in the cache, or not for much longer.

    It spends money at the providers: the client `warming` has it in `amos report cost --by client`.
    """
    if budget is not None and not math.isfinite(budget):  # JSON has no word for it
        raise typer.BadParameter("expected an amount.", param_hint="--budget")
    if not (yes or dry_run):
        require_person("Warming spends money, which", YES_OR_LOOK)
    wish = {"top": top, "since": since, "budget_usd": budget}
    body = {name: value for name, value in wish.items() if value is not None}
    if not yes:
        candidates, rehearsed = asyncio.run(_ask({**body, "dry_run": True}, url, key_file))
        if dry_run:
            _show(candidates, {"rehearsed": rehearsed}, as_json=as_json)
            return
        output.data(_table(candidates), _rehearsed(rehearsed))
        # Asked between two event loops: in one, the first Ctrl-C would not end the wait for the answer.
        if not rehearsed["due"] or not is_agreed("Fetch them?"):
            return
    candidates, finished = asyncio.run(_ask(body, url, key_file))
    _show(candidates, {"finished": finished}, as_json=as_json)
    is_in_vain = finished["failed"] and not finished["warmed"]
    raise typer.Exit(EXIT_FAILURE if is_in_vain or finished["ended_by"] in ("provider", "record") else 0)


async def _ask(
    body: dict[str, Any], url: str | None, key_file: Path | None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What became of each candidate, and the summary. Raises CommandError, GatewayError."""
    candidates: list[dict[str, Any]] = []
    last: dict[str, Any] = {}
    async with connect(url, key_file) as gateway, aclosing(gateway.warm(body)) as lines:
        with output.progress("looking" if body.get("dry_run") else "warming") as advance:
            async for last in lines:
                if "candidate" in last:
                    candidates.append(last["candidate"])
                    advance(len(candidates), last["of"])
    (summary,) = last.values()
    return candidates, summary


def _show(candidates: list[dict[str, Any]], summary: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.data_json({"candidates": candidates, **summary})
        return
    told = _finished(summary["finished"]) if "finished" in summary else _rehearsed(summary["rehearsed"])
    output.data(*([_table(candidates)] if candidates else []), told)


def _table(candidates: list[dict[str, Any]]) -> RenderableType:
    """A line for each: what was asked, how often, and what became of it."""
    return output.table(
        ("query", "asked", "age", "left", "outcome", "cost"), [_row(one) for one in candidates]
    )


def _row(one: dict[str, Any]) -> list[Any]:
    from rich.text import Text  # noqa: PLC0415

    from api.cli.terminal_text import one_line  # noqa: PLC0415

    outcome = " ".join(filter(None, (one["outcome"], one["error"])))
    price = one["cost"]["usd_micros"]
    return [
        Text(one_line(one["text"])) if one["text"] is not None else Text("text not kept", style="dim"),
        Text(number(one["calls"]), justify="right"),
        Text(_seconds(one["age_s"]), justify="right"),
        Text(_seconds(one["left_s"]), justify="right"),
        Text(outcome, style=STYLES.get(one["outcome"], "")),
        Text(dollars(price) if price else "", justify="right"),
    ]


def _seconds(value: float | None) -> str:
    """How long; what is over is nothing."""
    return "" if value is None else seconds(max(0.0, value))


def _rehearsed(summary: dict[str, Any]) -> RenderableType:
    if not summary["candidates"]:
        return _line("Nothing was asked often enough to be warmed.")
    cost, limit = summary["cost"]["usd_micros"], summary["budget_usd_micros"]
    return _line(
        f"{summary['due']} of {summary['candidates']} would be fetched, for {dollars(cost)} at most; "
        f"the budget is {dollars(limit)}."
    )


def _finished(run: dict[str, Any]) -> RenderableType:
    left = run["candidates"] - run["warmed"] - run["failed"] - run["skipped"] - run["unknown"]
    parts = [f"{run['warmed']} warmed for {dollars(run['cost']['usd_micros'])}", f"{run['skipped']} fresh"]
    parts += [f"{run[name]} {name}" for name in ("failed", "unknown") if run[name]]
    parts += [f"{left} left"] if left else []
    told = f"{', '.join(parts)}, in {seconds(run['duration_s'])}. {ENDS.get(run['ended_by'], '')}"
    return _line(told.rstrip() if run["candidates"] else "Nothing was asked often enough to be warmed.")


def _line(text: str) -> RenderableType:
    from rich.text import Text  # noqa: PLC0415

    return Text(text, overflow="fold")
