"""What `/reports/...` promise: one operation for each, because each has groups and figures of its own."""

from __future__ import annotations

from api.openapi.operation import Answer, Operation, Parameters, Shape
from api.rest.report_shapes import shape_of
from api.rest.reports import ReportParameters
from api.spreadsheet import MEDIA_TYPE
from orchestrator.errors import EventLogUnavailable
from orchestrator.reports.catalogue import REPORTS
from orchestrator.reports.report import LIMIT_MAX, Report

_SAYS = {
    "health": "How calls ended, how providers did",
    "hit-rate": "How many answers came from the cache",
    "latency": "How long calls stayed, and where the time went",
    "queries": "Which searches are asked most, fail, are slow, find nothing, are fetched again",
    "cost": "What was spent, perhaps spent, and saved",
    "clients": "Who asks for how much, and what becomes of it",
    "providers": "Who answers how often, how fast, for how much",
}


def _parameters(report: Report) -> Parameters:
    shape = Shape(
        name="ReportParameters",
        kind=ReportParameters,
        fields={
            "since": {
                "description": "Where the window begins: an age (`90m`, `24h`, `7d`, `2w`), a moment "
                "(`2026-11-22T10:00:00Z`), epoch seconds, or `now`. Before `until`.",
                "format": "moment",
            },
            "until": {"description": "Where it ends, in the same forms.", "format": "moment"},
            "limit": {"description": "Rows of a ranking.", "minimum": 1, "maximum": LIMIT_MAX},
            "tz": {"description": "An IANA time zone, such as Europe/Berlin.", "format": "time-zone"},
            "format": {"description": "Also by `Accept: text/csv`."},
            **({"by": {"description": "How to group.", "enum": list(report.by)}} if report.by else {}),
        },
        without=frozenset() if report.by else frozenset({"by"}),
    )
    return Parameters(shape=shape, examples={"since": "24h"})


OPERATIONS = tuple(
    Operation(
        method="GET",
        path=f"/reports/{name}",
        id=f"report_{name.replace('-', '_')}",
        tag="Reports",
        summary=_SAYS[name],
        description="A parameter that is unknown, given twice or without a value is refused.",
        scopes=("reports",),
        query=_parameters(report),
        headers=("Accept",),
        answers=(
            Answer(
                shape_of(name),
                "The figures; docs/reports.md says what each means.",
                headers=("Cache-Control",),
                also={MEDIA_TYPE: {"type": "string", "description": "One flat table with a heading."}},
            ),
        ),
        errors=(EventLogUnavailable,),
    )
    for name, report in REPORTS.items()
)
