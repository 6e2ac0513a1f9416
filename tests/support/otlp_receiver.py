"""A collector for tests: takes traces over OTLP/HTTP, keeps them, and misbehaves when told to.

async with OtlpReceiver() as receiver:
    ... otlp_endpoint=receiver.base_url ...
    receiver.behave(500)                        # from now on; behave() is well again
    spans_of(receiver, execution_id)            # the call's own span first
"""

from __future__ import annotations

import gzip
import zlib
from typing import Any, Self

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

from orchestrator.trace_context import span_id_of
from tests.support.http_server import GARBAGE, Answer, HttpServer, Request, Wire

PATH = "/v1/traces"
PROTOBUF = {"Content-Type": "application/x-protobuf"}
REMOTE = 0x300
"""The flags of a span whose parent is known to be of another process (trace.proto, SpanFlags)."""

_UNPACKED = {"gzip": gzip.decompress, "deflate": zlib.decompress, "": bytes}


class TakenSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A span as it arrived; ids in hex, `parent_id` `""` for a root, `kind` and `status` in lower case."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    is_parent_remote: bool
    start_ns: int
    end_ns: int
    status: str
    attributes: dict[str, Any]
    events: tuple[tuple[str, dict[str, Any]], ...]
    links: tuple[tuple[str, str], ...]
    resource: dict[str, Any]


class OtlpReceiver:
    """The collector; an async context manager. `taken` holds every span it has acknowledged, in order."""

    def __init__(self, port: int = 0) -> None:
        self._server = HttpServer(self._serve, port=port)
        self._behaviour: int | str = 200
        self.taken: list[TakenSpan] = []
        self.requests: list[Request] = []
        """Every request that came, taken or not."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; after a `stop` at the same address."""
        await self._server.start()

    async def stop(self) -> None:
        """Be gone: connections are cut, new ones refused."""
        await self._server.stop()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.port

    @property
    def base_url(self) -> str:
        """Its address, as OTEL_EXPORTER_OTLP_ENDPOINT has it."""
        return f"http://127.0.0.1:{self.port}"

    def behave(self, how: int | str = 200) -> None:
        """Answer every request with this status, or `hang`, say `garbage`, or `reject` a span of each.

        200 takes what comes.
        """
        self._behaviour = how

    async def _serve(self, request: Request, wire: Wire) -> None:
        self.requests.append(request)
        if self._behaviour == "hang":
            await wire.hang()
        elif self._behaviour == "garbage":
            wire.close(GARBAGE)
        elif isinstance(self._behaviour, int) and (self._behaviour != 200 or request.path != PATH):
            wire.send(Answer(status=404 if request.path != PATH else self._behaviour))
        elif self._behaviour == "reject":
            told = ExportTraceServiceResponse()
            told.partial_success.rejected_spans = 1
            self.taken += _decoded(request)[1:]
            wire.send(Answer(headers=PROTOBUF, body=told.SerializeToString()))
        else:
            self.taken += _decoded(request)
            wire.send(Answer(headers=PROTOBUF, body=ExportTraceServiceResponse().SerializeToString()))


def spans_of(receiver: OtlpReceiver, execution_id: str) -> list[TakenSpan]:
    """All spans of an execution that have arrived, the call's own first, then by their start.

    A span that came twice is there once; its two copies must be the same.
    """
    root = span_id_of(execution_id)
    found: dict[str, TakenSpan] = {}
    for span in receiver.taken:
        if root in (span.span_id, span.parent_id):
            assert found.setdefault(span.span_id, span) == span
    return sorted(found.values(), key=lambda span: (span.span_id != root, span.start_ns))


def _decoded(request: Request) -> list[TakenSpan]:
    assert request.headers["content-type"] == PROTOBUF["Content-Type"]
    body = _UNPACKED[request.headers.get("content-encoding", "")](request.body)
    message = ExportTraceServiceRequest.FromString(body)
    return [
        _taken(span, _values(of_resource.resource.attributes))
        for of_resource in message.resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    ]


def _taken(span: WireSpan, resource: dict[str, Any]) -> TakenSpan:
    return TakenSpan(
        name=span.name,
        kind=WireSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        is_parent_remote=span.flags & REMOTE == REMOTE,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        status=("unset", "ok", "error")[span.status.code],
        attributes=_values(span.attributes),
        events=tuple((event.name, _values(event.attributes)) for event in span.events),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        resource=resource,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
