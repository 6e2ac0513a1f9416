"""`/console/overview`: how it all is and was, in figures and charts; each part is there without the others.

A part that cannot be read, because the database is away, says so in its place. Whoever has no JavaScript gets
the same figures; the charts are tables then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from api.console.data import (
    CHARTS,
    OBJECTIVE,
    RANGE_DEFAULT,
    RANGES,
    STAGES,
    chart_of,
    question_of,
    range_of,
)
from api.quantities import amount, dollars, number, ratio, seconds
from api.rest.plain_routes import json_response
from orchestrator.budget_ports import MARKS
from orchestrator.errors import GatewayError
from orchestrator.events import MILLION
from orchestrator.reports.queries import RANKINGS
from orchestrator.reports.report import Question

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from api.console.data import ChartData, Figures, Range
    from api.console.visits import Console, Visit
    from orchestrator.gateway import Gateway
    from orchestrator.health import ComponentHealth

RANKINGS_SHOWN = ("failing", "slow")
"""Of the report's rankings those of searches that somebody should look into."""

QUERIES_SHOWN = 5
"""chosen: what somebody will look into; `amos report queries` has more."""

CHANGES_SHOWN = 8
"""chosen: the last trouble of each of a few circuits."""

NOTHING = "\u2013"
"""A dash: there is no such figure."""

PART_S_MAX = 3.0
"""chosen: a report takes 0.2 s where there is most to count; where it takes so long the database hangs. To
let go of a connection that hangs takes the driver two seconds more, so that a page is there in five."""


class Part(msgspec.Struct, frozen=True):
    """A part of the page: what is shown, or why it cannot be."""

    shown: Any = None
    fault: str = ""


class Kpi(msgspec.Struct, frozen=True):
    """One figure of the first row. `state` is `success`, `warn`, `danger` or `""`."""

    label: str
    value: str
    note: str = ""
    state: str = ""


class Row(msgspec.Struct, frozen=True):
    """The first row; `is_quiet` if nobody has called in its time."""

    figures: tuple[Kpi, ...]
    is_quiet: bool


class Chosen(msgspec.Struct, frozen=True):
    """The range that a page shows: its name in the address, and what it is."""

    name: str
    span: Range


def routes(console: Console) -> list[Route]:
    """The routes of this file."""
    gateway, figures = console.gateway, console.figures

    async def overview(request: Request, visit: Visit) -> Response:
        chosen = _chosen(request)
        kpis, now = await asyncio.gather(
            part(first_row(figures, chosen.span, time.time())), _now(gateway, figures, chosen.span)
        )
        return await visit.page(
            "overview.html",
            ranges=RANGES,
            chosen=chosen,
            charts=CHARTS,
            kpis=kpis,
            now=now,
            curl=_curl(request),
        )

    async def row(request: Request, visit: Visit) -> Response:
        chosen = _chosen(request)
        shown = await part(first_row(figures, chosen.span, time.time()))
        return await visit.page("parts/kpis.html", kpis=shown, chosen=chosen, curl=_curl(request))

    async def now(request: Request, visit: Visit) -> Response:
        chosen = _chosen(request)
        return await visit.page("parts/now.html", now=await _now(gateway, figures, chosen.span))

    async def queries(request: Request, visit: Visit) -> Response:
        chosen = _chosen(request)
        found = await rankings(figures, chosen.span, time.time())
        return await visit.page("overview_queries.html", chosen=chosen, queries=found)

    async def table(request: Request, visit: Visit) -> Response:
        chosen, chart = _chosen(request), chart_of(request.path_params["chart"])
        found = await figures.chart(chart, chosen.span, now=time.time(), tz=_zone(request))
        return await visit.page("overview_table.html", chosen=chosen, table=found, rows=rows_of(found))

    async def data(request: Request, visit: Visit) -> Response:
        del visit
        chosen, chart = _chosen(request), chart_of(request.path_params["chart"])
        return json_response(await figures.chart(chart, chosen.span, now=time.time(), tz=_zone(request)))

    return [
        console.route("/console/overview", overview, "reports"),
        console.route("/console/overview/kpis", row, "reports"),
        console.route("/console/overview/now", now, "reports"),
        console.route("/console/overview/queries", queries, "reports"),
        console.route("/console/overview/table/{chart}", table, "reports"),
        console.route("/console/data/{chart}", data, "reports"),
    ]


async def part(asking: Awaitable[Any]) -> Part:
    """What was asked for, or the failure that keeps it from being shown; it has no more than `PART_S_MAX`.

    The parts of a page are asked for side by side, so that is what all of them take together.
    """
    try:
        async with asyncio.timeout(PART_S_MAX):
            return Part(shown=await asking)
    except TimeoutError:
        return Part(fault=f"The record did not answer within {PART_S_MAX:g} s.")
    except GatewayError as error:
        return Part(fault=error.message)


def _chosen(request: Request) -> Chosen:
    name = request.query_params.get("range", RANGE_DEFAULT)
    return Chosen(name, range_of(name))


def _curl(request: Request) -> str:
    return f"curl '{request.base_url}search?q=tide+tables'"


def _zone(request: Request) -> str:
    return request.query_params.get("tz", "UTC")


def _asked(span: Range, now: float, limit: int) -> Question:
    return Question(since=now - span.seconds, until=now, limit=limit)


async def rankings(figures: Figures, span: Range, now: float) -> dict[str, Part]:
    """Searches to look into, by the name of the ranking; over the same time as the charts.

    They are asked for side by side: each takes a database with a month of millions a tenth of a second.
    """
    asked = msgspec.structs.replace(question_of(span, now, "UTC"), by="", limit=QUERIES_SHOWN)
    found = await asyncio.gather(
        *(
            part(figures.report("queries", msgspec.structs.replace(asked, ranked_by=(RANKINGS[name],))))
            for name in RANKINGS_SHOWN
        )
    )
    return dict(zip(RANKINGS_SHOWN, found, strict=True))


async def first_row(figures: Figures, span: Range, now: float) -> Row:
    """The first row. Raises EventLogUnavailable, Overloaded."""
    asked = _asked(span, now, 1)
    health = await figures.report("health", asked)
    hits = await figures.report("hit-rate", asked)
    latency = await figures.report("latency", msgspec.structs.replace(asked, among=STAGES))
    cost = await figures.report("cost", asked)
    of_stage = {row["stage"]: row for row in latency["stages"]}
    calls = health["requests"]
    failed, refused = calls["failed"] - calls["callers_own"], calls["callers_own"]
    shown = (
        _availability(health),
        Kpi("Calls", number(calls["total"]), f"{number(failed)} failed, {number(refused)} refused"),
        Kpi("Hit rate", _share(hits["hit_ratio"]), f"of {number(hits['answered'])} answers"),
        _p95("Hit p95", of_stage.get("hit")),
        _p95("Miss p95", of_stage.get("miss")),
        _spent(cost),
    )
    return Row(shown, is_quiet=not calls["total"])


def _availability(health: dict[str, Any]) -> Kpi:
    share = health["availability"]
    if share is None:
        return Kpi("Availability", NOTHING, "nothing was asked")
    is_met = share >= OBJECTIVE
    return Kpi(
        "Availability",
        f"{share * 100:.2f} %",
        f"objective {ratio(OBJECTIVE)} {'met' if is_met else 'missed'}",
        "success" if is_met else "danger",
    )


def _p95(label: str, stage: dict[str, Any] | None) -> Kpi:
    if stage is None:
        return Kpi(label, NOTHING, "none yet")
    return Kpi(label, seconds(stage["p95_s"]), f"median {seconds(stage['p50_s'])}")


def _spent(cost: dict[str, Any]) -> Kpi:
    units = [amount(of["spent"], of["unit"]) for of in cost["units"] if of["spent"]]
    saved = f"{_money(cost['saved_usd_micros'])} saved"
    return Kpi("Spent", _money(cost["spent_usd_micros"]), " · ".join([saved, *units]))


def _money(micros: int) -> str:
    """As many digits as somebody can use: whole dollars of thousands, every digit of less than one."""
    if micros < MILLION:
        return dollars(micros)
    return f"${micros / MILLION:,.0f}" if micros >= 1_000 * MILLION else f"${micros / MILLION:,.2f}"


def _share(share: float | None) -> str:
    return NOTHING if share is None else ratio(share)


FORMS: dict[str, Callable[[float], str]] = {
    "count": number,
    "ratio": lambda share: f"{share * 100:.2f} %",
    "seconds": seconds,
    "usd_micros": dollars,
}
"""How the values of a chart are written, by their unit."""


def rows_of(table: ChartData) -> list[tuple[float, list[str]]]:
    """The chart as the rows of a table, the newest first: a moment, and what people read of each value."""
    form = FORMS[table.unit]
    begins, *values = table.columns
    texts = [[NOTHING if value is None else form(value) for value in column] for column in values]
    return list(zip(begins, map(list, zip(*texts, strict=True)), strict=True))[::-1]


async def _now(gateway: Gateway, figures: Figures, span: Range) -> dict[str, Any]:
    """Providers, other components, budgets and where they warn, the newest changes of circuits."""
    asked = _asked(span, time.time(), CHANGES_SHOWN)
    components, budgets, changes = await asyncio.gather(
        gateway.health(),
        _budgets(gateway),
        part(figures.report("providers", asked)),
    )
    return {
        "providers": [one for one in components if _is_provider(one)],
        "others": [one for one in components if not _is_provider(one)],
        "budgets": budgets,
        "changes": changes,
        "marks": [mark / 100 for mark in MARKS],
    }


async def _budgets(gateway: Gateway) -> Part:
    return Part() if gateway.budgets is None else await part(gateway.budgets.report())


def _is_provider(one: ComponentHealth) -> bool:
    return one.name.startswith("provider:")
