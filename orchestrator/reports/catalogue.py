"""Every report by its name."""

from __future__ import annotations

from orchestrator.errors import InvalidRequest, NotFound
from orchestrator.reports.clients import ClientsReport
from orchestrator.reports.cost import CostReport
from orchestrator.reports.health import HealthReport
from orchestrator.reports.hit_rate import HitRateReport
from orchestrator.reports.latency import LatencyReport
from orchestrator.reports.providers import ProvidersReport
from orchestrator.reports.queries import QueriesReport
from orchestrator.reports.report import LIMIT_MAX, Question, Report
from orchestrator.reports.windows import zone_of

REPORTS: dict[str, Report] = {
    report.name: report
    for report in (
        HealthReport(),
        HitRateReport(),
        LatencyReport(),
        QueriesReport(),
        CostReport(),
        ClientsReport(),
        ProvidersReport(),
    )
}
"""The reports there are."""

MOMENT_MAX = 221_845_392_000.0
"""The year 9000, as epoch seconds: beyond 9999 the calendar of Python ends, in any time zone."""


def report_for(name: str, question: Question) -> Report:
    """The report that answers a question. Raises NotFound for an unknown name, InvalidRequest."""
    report = REPORTS.get(name)
    if report is None:
        raise NotFound(f"There is no such report; there are {', '.join(REPORTS)}.")
    if question.by and question.by not in report.by:
        groups = f"expected one of {', '.join(report.by)}" if report.by else f"{name} has no groups"
        raise InvalidRequest(f"by: {groups}.", field="by")
    if not 1 <= question.limit <= LIMIT_MAX:
        raise InvalidRequest(f"limit: expected a number from 1 to {LIMIT_MAX}.", field="limit")
    if question.until > MOMENT_MAX:
        raise InvalidRequest("until: expected a moment before the year 9000.", field="until")
    if question.since >= question.until:
        raise InvalidRequest("since: must be before until.", field="since")
    zone_of(question.time_zone)
    return report
