"""What `/executions?…` promises."""

from __future__ import annotations

from api.openapi.operation import Answer, Operation, Parameters, Schema, Shape
from api.rest.executions_search import MIN_DURATION_S_MAX, OUTCOMES, POSITION, ExecutionParameters
from api.spreadsheet import MEDIA_TYPE
from orchestrator.errors import EventLogUnavailable, Overloaded
from orchestrator.executions import LIMIT_MAX, FoundExecutions
from orchestrator.limits import FRAME_NAME_CHARS_MAX

_NAME: Schema = {"minLength": 1, "maxLength": FRAME_NAME_CHARS_MAX, "format": "printable"}

OPERATIONS = (
    Operation(
        method="GET",
        path="/executions",
        id="executions",
        tag="Executions",
        summary="Past executions that fit",
        description="Newest first, a page at a time. Callers see their own; with the scope `reports` "
        "everybody's. One is found as soon as its last word is recorded. For a page a bounded number of them "
        "is looked at, so it may not be full although `next` says where to go on. A parameter that is "
        "unknown, given twice or without a value is refused.",
        query=Parameters(
            shape=Shape(
                name="ExecutionParameters",
                kind=ExecutionParameters,
                fields={
                    "since": {
                        "description": "Recorded since: an age (`90m`, `24h`, `7d`, `2w`), a moment "
                        "(`2026-11-22T10:00:00Z`), epoch seconds, or `now`. Before `until`.",
                        "format": "moment",
                    },
                    "until": {"description": "Recorded before that, in the same forms.", "format": "moment"},
                    "client": {"description": "Whose.", **_NAME},
                    "operation": {"description": "`search`, `extract`, `map`, ...", **_NAME},
                    "door": {"description": "`http`, `mcp`, `cli` or `console`.", **_NAME},
                    "provider": {"description": "Who answered.", **_NAME},
                    "cache": {"description": "`l1`, `l2`, `collapsed`, `miss`, `mixed`, `relayed`.", **_NAME},
                    "outcome": {"description": "How they ended.", "enum": list(OUTCOMES)},
                    "error": {"description": "The code of the failure.", **_NAME},
                    "text": {
                        "description": "What the query contains, or a page's URL; upper and lower case, "
                        "blanks and Unicode forms are the same. Only where texts are kept.",
                        **_NAME,
                    },
                    "min_duration": {
                        "description": "Seconds they stayed at least.",
                        "minimum": 0,
                        "maximum": MIN_DURATION_S_MAX,
                    },
                    "before": {
                        "description": "`next` of the page before.",
                        "pattern": f"^{POSITION.pattern}$",
                    },
                    "limit": {"description": "Executions of a page.", "minimum": 1, "maximum": LIMIT_MAX},
                    "format": {"description": "Also by `Accept: text/csv`."},
                },
            ),
            examples={"since": "24h", "outcome": "failed"},
        ),
        headers=("Accept",),
        answers=(
            Answer(
                Shape(name="FoundExecutions", kind=FoundExecutions),
                "A page.",
                headers=("Cache-Control", "Link"),
                also={MEDIA_TYPE: {"type": "string", "description": "The same with a heading."}},
            ),
        ),
        errors=(EventLogUnavailable, Overloaded),
    ),
)
