"""Shows a search or extract answer in Tavily's format to a person: the results, then why they are these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.padding import Padding
from rich.style import Style
from rich.text import Text

from api import quantities
from api.cli.terminal_text import link_target, many_lines, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

SNIPPET_CHARS_MAX = 300
"""chosen: about four lines of a terminal; --json has all of it."""


def search_view(body: dict[str, Any]) -> RenderableType:
    """The whole answer to a search."""
    parts: list[RenderableType] = []
    if answer := body.get("answer"):
        parts += [Text(one_line(answer), style="italic"), Text()]
    results = body.get("results", [])
    for rank, result in enumerate(results, start=1):
        parts += _result(rank, result)
    if not results:
        parts += [Text(f"No results for {one_line(body.get('query', ''))!r}."), Text()]
    return Group(*parts, why(body))


def extract_view(body: dict[str, Any]) -> RenderableType:
    """Every page with its text, then the ones nobody could read."""
    parts: list[RenderableType] = []
    for page in body.get("results", []):
        heading = one_line(page.get("title") or page.get("url", ""))
        parts += [Text(heading, style="bold"), _link(page.get("url", "")), Text()]
        parts += [Text(many_lines(page.get("raw_content", "")).strip()), Text()]
    for page in body.get("failed_results", []):
        error = one_line(page.get("error", "no reason given"))
        parts.append(Text.assemble(("not read  ", "yellow"), _link(page.get("url", "")), f": {error}"))
    return Group(*parts, why(body))


def why(body: dict[str, Any]) -> RenderableType:
    """The last lines of an answer: who gave it, from where, in what time, what was tried, what it cost."""
    amos = body.get("amos") or {}
    first = Text.assemble(("why  ", "dim"), (" · ".join(_reasons(body, amos)), "dim"))
    tried = [Text(f"     {line}", style="dim") for line in _troubles(amos)]
    return Group(first, *tried)


def _result(rank: int, result: dict[str, Any]) -> list[RenderableType]:
    title = one_line(result.get("title", "")) or "(without title)"
    snippet = _cut(one_line(result.get("content", "")))
    indented: list[RenderableType] = [_link(result.get("url", ""))]
    if date := result.get("published_date"):
        indented.append(Text(one_line(str(date)), style="dim"))
    if snippet:
        indented.append(Text(snippet))
    margin = (0, 0, 0, 4)
    return [
        Text.assemble((f"{rank:>2}  ", "dim"), (title, "bold")),
        *(Padding(line, margin, expand=False) for line in indented),
        Text(),
    ]


def _link(url: str) -> Text:
    target = link_target(url)
    return Text(one_line(url), style=Style(color="cyan", link=target), overflow="fold")


def _cut(text: str) -> str:
    if len(text) <= SNIPPET_CHARS_MAX:
        return text
    return text[:SNIPPET_CHARS_MAX].rsplit(" ", 1)[0] + " …"


def _reasons(body: dict[str, Any], amos: dict[str, Any]) -> Iterator[str]:
    if provider := amos.get("provider"):
        yield one_line(str(provider)) + (
            " (degraded: the floor of the chain)" if amos.get("degraded") else ""
        )
    if cache := amos.get("cache"):
        yield _cache(str(cache), amos)
    if isinstance(elapsed := body.get("response_time"), int | float):
        yield quantities.seconds(elapsed)
    if made := sum(attempt.get("outcome") != "skipped" for attempt in amos.get("attempts") or ()):
        yield f"{made} attempt" + ("s" if made > 1 else "")
    yield _cost(amos)
    if execution := amos.get("execution_id"):
        yield f"execution {one_line(str(execution))}"


def _cache(cache: str, amos: dict[str, Any]) -> str:
    stale = ", stale" if amos.get("stale") else ""
    if cache in {"l1", "l2"}:
        return f"cache hit in {cache}, {quantities.seconds(amos.get('age_s') or 0)} old{stale}"
    words = {"miss": "not in cache", "collapsed": "joined a search under way"}
    return words.get(cache, f"cache {one_line(cache)}") + stale


def _cost(amos: dict[str, Any]) -> str:
    credits_, usd = amos.get("credits") or 0, amos.get("cost_usd") or 0
    money = quantities.dollars(usd * 1_000_000) if usd else ""
    if credits_:
        return quantities.amount(credits_, "credits") + (f" ({money})" if money else "")
    return money or "free"


def _troubles(amos: dict[str, Any]) -> Iterator[str]:
    for attempt in amos.get("attempts") or ():
        outcome, reason = str(attempt.get("outcome", "")), str(attempt.get("reason", ""))
        if outcome != "success":
            what = f"{attempt.get('provider', '')} {outcome}" + (f": {reason}" if reason else "")
            took = quantities.seconds(attempt.get("duration_s") or 0)
            yield one_line(what if outcome == "skipped" else f"{what} after {took}")
    if unsupported := amos.get("unsupported"):
        yield one_line(f"not honoured: {', '.join(map(str, unsupported))}")
    for note in amos.get("notes") or ():
        yield one_line(str(note))
