"""Traces of `amos serve` as processes: whatever a collector does, serving and recording do not notice."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator.trace_context import span_id_of
from storage.file_status import read_status
from tests.support.otlp_receiver import OtlpReceiver, spans_of
from tests.support.postgres import shared_postgres
from tests.support.processes import AmosProcesses, until
from tests.support.rotel import Rotel
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator

WAIT_S = 20.0
"""A machine may be busy; a trace takes a second or two."""

STOPPED_S = 20.0
"""A collector may hold up the end for five seconds; the supervisor waits for 35."""


def settings(tavily: TavilySimulator, endpoint: str, **more: str) -> dict[str, str]:
    """`amos serve` with a simulated Tavily and this collector, which has two seconds for an answer."""
    return {
        "OTEL_EXPORTER_OTLP_TIMEOUT": "2",
        "TAVILY_API_KEY": tavily.api_key,
        "AMOS_TAVILY_BASE_URL": tavily.base_url,
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        **more,
    }


async def search(amos: AmosProcesses, query: str) -> str:
    """One answered search; the id of its execution."""
    async with httpx.AsyncClient(base_url=amos.base_url, timeout=WAIT_S, trust_env=False) as client:
        answer = await client.post("/search", json={"query": query})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["amos"]["execution_id"])


async def component(amos: AmosProcesses) -> dict[str, Any]:
    """What /health says of traces."""
    async with httpx.AsyncClient(base_url=amos.base_url, timeout=WAIT_S, trust_env=False) as client:
        components = (await client.get("/health")).json()["components"]
    (found,) = (one for one in components if one["name"] == "traces")
    return dict(found)


async def arrived(receiver: OtlpReceiver, execution_id: str, count: int) -> None:
    """Wait until so many spans of the execution are there."""
    await until(
        lambda: len(spans_of(receiver, execution_id)) == count,
        WAIT_S,
        lambda: f"{[span.name for span in spans_of(receiver, execution_id)]} of {receiver.requests}",
    )


async def test_a_trace_arrives_while_it_serves(tmp_path: Path, receiver: OtlpReceiver, tavily):
    """Soon after the answer; /health says how many went out."""
    async with AmosProcesses(tmp_path / "var", settings(tavily, receiver.base_url)) as amos:
        execution_id = await search(amos, "tide tables")
        await arrived(receiver, execution_id, 2)
        status = await said(amos, "2 spans exported since the recorder's start, 0 calls given up.")
        libraries = mapped(amos)

    assert "google/_upb" in libraries
    assert status["status"] == "ok"
    assert receiver.taken[0].resource["service.name"] == "amos"


async def said(amos: AmosProcesses, detail: str) -> dict[str, Any]:
    """Wait until /health says this of traces; the whole component."""
    deadline = time.monotonic() + WAIT_S
    while detail not in (found := await component(amos))["detail"]:
        assert time.monotonic() < deadline, found
    return found


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_collector_that_comes_back_gets_everything(tmp_path: Path, receiver, tavily, kind):
    """Dead from the start: all else goes on, the log says so once, and what happened meanwhile arrives."""
    more = {} if kind == "sqlite" else {"AMOS_DATABASE_URL": shared_postgres().new_database()}
    if more:
        more["AMOS_KEY_PEPPER"] = "p" * 32
    await receiver.stop()
    async with AmosProcesses(tmp_path / "var", settings(tavily, receiver.base_url, **more)) as amos:
        tavily.script(Fault.status(500))
        calls = [await search(amos, f"harbour {number % 3}") for number in range(6)]
        status = await said(amos, "The collector cannot be reached (ConnectionError).")
        recorder = read_status(amos.data_dir)
        await receiver.start()
        await arrived(receiver, calls[-1], 1)
        await arrived(receiver, calls[0], 3)
        await said(amos, "0 calls given up.")

    assert status["status"] == "degraded"
    assert "4318" in status["detail"]
    assert recorder is not None
    assert recorder.fault == ""
    assert recorder.lag_s(time.time()) < WAIT_S
    assert {len(spans_of(receiver, one)) for one in calls[3:]} == {1}
    assert len({(span.trace_id, span.span_id) for span in receiver.taken}) == len(receiver.taken)
    assert amos.log.count("traces are not exported") == 1
    assert "opentelemetry" not in amos.log


@pytest.mark.parametrize("how", ["hang", "garbage", 500])
async def test_a_collector_that_misbehaves_delays_neither_the_record_nor_the_end(
    tmp_path: Path, receiver, tavily, how
):
    """Everything gets into SQL meanwhile, and the whole stops long before it would be killed."""
    receiver.behave(how)
    usual = settings(tavily, receiver.base_url, OTEL_EXPORTER_OTLP_TIMEOUT="10")
    async with AmosProcesses(tmp_path / "var", usual) as amos:
        execution_id = await search(amos, "tide tables")
        await until(lambda: bool(receiver.requests), WAIT_S, lambda: "nothing was sent")
        for number in range(5):
            await search(amos, f"harbour {number}")
        status, text = await amos.command("events", "show", execution_id)
        assert status == 0, text
        begun = time.monotonic()
        assert await amos.stop() == 0
        took_s = time.monotonic() - begun
        recorder = read_status(amos.data_dir)

    assert recorder is not None
    assert (recorder.fault, recorder.frames >= 13) == ("", True)
    assert took_s < STOPPED_S
    assert receiver.taken == []


async def test_the_last_traces_go_out_at_the_end(tmp_path: Path, receiver, tavily):
    """What was answered just before the stop is exported by it."""
    async with AmosProcesses(tmp_path / "var", settings(tavily, receiver.base_url)) as amos:
        calls = [await search(amos, f"harbour {number}") for number in range(3)]
        assert await amos.stop() == 0

    assert [len(spans_of(receiver, one)) for one in calls] == [2, 2, 2]


async def test_nothing_is_imported_or_exported_where_it_is_not_wanted(tmp_path: Path, receiver, tavily):
    """Switched off by OpenTelemetry's own switch, the component is not there and nothing is sent."""
    off = settings(tavily, receiver.base_url, OTEL_SDK_DISABLED="true")
    async with AmosProcesses(tmp_path / "var", off) as amos:
        await search(amos, "tide tables")
        libraries = mapped(amos)
        async with httpx.AsyncClient(base_url=amos.base_url, trust_env=False) as client:
            names = [one["name"] for one in (await client.get("/health")).json()["components"]]
        assert await amos.stop() == 0

    assert "traces" not in names
    assert receiver.requests == []
    assert "google/_upb" not in libraries


def mapped(amos: AmosProcesses) -> str:
    """The files that the recorder has in its memory; the library of protobuf is in `google/_upb`."""
    return Path(f"/proc/{amos.pid('recorder')}/maps").read_text(encoding="utf-8")


async def test_a_collector_of_somebody_else_understands_it(tmp_path: Path, receiver, tavily):
    """Through Rotel: what comes out there has the same ids, times, attributes and links."""
    with Rotel(receiver.base_url) as rotel:
        more = {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}
        async with AmosProcesses(tmp_path / "var", settings(tavily, rotel.base_url, **more)) as amos:
            tavily.script(Fault.status(500))
            execution_id = await search(amos, "tide tables")
            await arrived(receiver, execution_id, 3)

    call, failed, answered = spans_of(receiver, execution_id)
    assert (call.span_id, call.kind, call.status) == (span_id_of(execution_id), "server", "unset")
    assert (failed.status, failed.attributes["error.type"]) == ("error", "http_500")
    assert answered.attributes["amos.cost.usd_micros"] == 8_000
    assert call.start_ns <= failed.start_ns < answered.start_ns < answered.end_ns <= call.end_ns
    assert [name for name, _ in call.events] == [
        *("amos.cache.missed", "amos.retry.scheduled", "amos.cache.stored")
    ]
    assert call.resource["service.name"] == "amos"
