"""Spans to a collector over OTLP/HTTP, with OpenTelemetry's own exporter and its own variables.

The one module that knows OpenTelemetry, imported only where traces are configured. No tracer is made: the
spans are those of the record, and no global state is touched.

Its SDK reads `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER` and the rest of
`OTEL_EXPORTER_OTLP_…` (compression, timeout in seconds, certificates) from the environment.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from http import HTTPStatus

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import OTELResourceDetector, Resource, get_aggregated_resources
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.re import parse_env_headers
from typing_extensions import override

from api import __version__
from api.rest.problems import status_of
from api.settings import Settings
from api.trace_export import BatchRefused, CollectorUnavailable, ExportPolicy, TraceExporter
from orchestrator import limits
from orchestrator.clock import SystemClock
from orchestrator.projections.spans import CLIENT, INTERNAL, SERVER, Span
from storage.sql_traces import SqlTraces

REFUSALS = frozenset({400, 413, 422})
"""Statuses that speak of what was sent: it will never be taken (OTLP 1.9, "Failures"; 413 is too large)."""

_PATH = "Check the path: /v1/traces is added to OTEL_EXPORTER_OTLP_ENDPOINT only."

ADVICE = {
    **dict.fromkeys((301, 302, 307, 308), "Redirections are not followed; name the address it points to."),
    401: "Check OTEL_EXPORTER_OTLP_HEADERS.",
    403: "Check OTEL_EXPORTER_OTLP_HEADERS.",
    404: _PATH,
    405: _PATH,
}
"""What to do about a status; about anything else see `UNREACHED`."""

WAY_S = 60.0
"""chosen: so long may what a call has recorded take into SQL, and it still counts as having ended."""

UNREACHED = "Is the collector running, and does the endpoint name its port for OTLP over HTTP (4318)?"

_KINDS = {SERVER: SpanKind.SERVER, CLIENT: SpanKind.CLIENT, INTERNAL: SpanKind.INTERNAL}
_SCOPE = InstrumentationScope("amos", __version__)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class OtlpCollector:
    """The Collector at the address of the settings. `send` is for one thread at a time."""

    def __init__(self, settings: Settings) -> None:
        self._outcome = _Outcome()
        session = requests.Session()
        session.hooks["response"].append(self._outcome.see)
        headers = settings.otlp_headers.get_secret_value() if settings.otlp_headers else ""
        self._exporter = OTLPSpanExporter(
            endpoint=settings.otlp_traces_endpoint or f"{settings.otlp_endpoint}/v1/traces",
            headers=parse_env_headers(headers, liberal=True) or None,
            session=session,
        )
        # For what it reads of the environment; it makes no span.
        provider = TracerProvider(shutdown_on_exit=False)
        ratio = settings.traces_sample_ratio
        self._sampler = provider.sampler if ratio is None else TraceIdRatioBased(ratio)
        self._resource = get_aggregated_resources(
            [OTELResourceDetector()], Resource({"service.name": "amos", "service.version": __version__})
        )

    def keeps(self, trace_id: str) -> bool:
        """Whether the trace is sampled: by its id, so that all instances decide alike."""
        return self._sampler.should_sample(None, int(trace_id, 16), "").decision is not Decision.DROP

    def send(self, spans: Sequence[tuple[str, Span]]) -> int:
        """Export; returns how many were rejected. Raises CollectorUnavailable, BatchRefused.

        Takes as long as `OTEL_EXPORTER_OTLP_TIMEOUT` says, 10 s if it says nothing.
        """
        resources = {
            instance: self._resource.merge(Resource({"service.instance.id": instance}))
            for instance in {instance for instance, _ in spans}
        }
        with self._outcome:
            result = self._exporter.export([_readable(span, resources[instance]) for instance, span in spans])
        if result is not SpanExportResult.SUCCESS or self._outcome.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise self._outcome.as_error()
        return self._outcome.rejected

    def close(self) -> None:
        """End the exporter; a pause between two of its tries ends at once."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


class _Outcome(logging.Handler):
    """What became of an export: the status of the last answer, or why there was none.

    The exporter tells nobody. It takes a redirection for a success and never reads what a collector has
    refused of a batch; and what it was that failed it says to its log only, which this keeps to itself.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._logger = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        self._logger.propagate = False
        self._cause = ""
        self._is_unencodable = False
        self.status = 0
        self.rejected = 0

    def __enter__(self) -> None:
        self._cause, self._is_unencodable, self.status, self.rejected = "", False, 0, 0
        self._logger.addHandler(self)

    def __exit__(self, *exc_info: object) -> None:
        self._logger.removeHandler(self)

    def see(self, response: requests.Response, *_: object, **__: object) -> None:
        """Look at an answer. What is no message of OTLP rejects nothing."""
        self.status = response.status_code
        if response.headers.get("content-type") == "application/x-protobuf":
            with contextlib.suppress(Exception):  # whatever its library says of garbage
                told = ExportTraceServiceResponse.FromString(response.content)
                self.rejected = told.partial_success.rejected_spans

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Keep the type of the exception that a line is about; its text may hold an address."""
        self._is_unencodable |= str(record.msg).startswith("Failed to encode")
        causes = [told for told in record.args or () if isinstance(told, Exception)]
        if causes:
            self._cause, self.status = type(causes[0]).__name__, 0

    def as_error(self) -> CollectorUnavailable:
        """The failure, with what to do about it."""
        if self._is_unencodable:
            return BatchRefused("The spans of a batch cannot be encoded; they are given up.")
        if self.status in REFUSALS:
            return BatchRefused(f"The collector refuses spans as invalid ({self.status}); they are given up.")
        if self.status:
            advice = ADVICE.get(self.status, "Its own log says why.")
            return CollectorUnavailable(f"The collector answers {self.status}. {advice}")
        what = f"cannot be reached ({self._cause})" if self._cause else "does not answer in time"
        return CollectorUnavailable(f"The collector {what}. {UNREACHED}")


def _readable(span: Span, resource: Resource) -> ReadableSpan:
    trace_id = int(span.trace_id, 16)
    return ReadableSpan(
        name=span.name,
        context=SpanContext(trace_id, int(span.span_id, 16), is_remote=False, trace_flags=_SAMPLED),
        parent=SpanContext(
            trace_id, int(span.parent_id, 16), is_remote=span.is_parent_remote, trace_flags=_SAMPLED
        )
        if span.parent_id
        else None,
        resource=resource,
        attributes=span.attributes,
        events=[Event(moment.name, moment.attributes, moment.at_ns) for moment in span.moments],
        links=[
            Link(
                SpanContext(
                    int(link.trace_id, 16), int(link.span_id, 16), is_remote=True, trace_flags=_SAMPLED
                ),
                link.attributes,
            )
            for link in span.links
        ],
        kind=_KINDS[span.kind],
        status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
        start_time=span.start_ns,
        end_time=span.end_ns,
        instrumentation_scope=_SCOPE,
    )


def trace_exporter(settings: Settings) -> TraceExporter:
    """The exporter of an installation. Its log and collector are its own, and end with it."""
    # An attempt and a call are over at their deadlines; a minute is for the way through the journal.
    certain_s = max(settings.deadline_s, limits.EXTRACT_DEADLINE_S_MAX) + WAY_S
    policy = ExportPolicy(slow_s=settings.traces_slow_s, certain_s=certain_s)
    log = SqlTraces(settings.database_url)
    return TraceExporter(log, OtlpCollector(settings), status_of, SystemClock(), policy)
