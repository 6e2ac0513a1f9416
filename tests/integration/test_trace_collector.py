"""What collectors say, and what an installation may choose: on both databases, with time moved by hand."""

from __future__ import annotations

import pytest

from api.settings import Settings
from api.telemetry import OtlpCollector
from api.trace_export import BatchRefused, CollectorUnavailable
from orchestrator.projections.spans import Span
from tests.support.histories import fallback, hit, miss, received, refused
from tests.support.traces import exporting, names


async def test_a_batch_that_is_refused_as_invalid_holds_up_nothing(log, receiver):
    """What the collector will never take is given up at once, and counted."""
    async with exporting(log.settings, receiver, log.clock) as traces:
        await traces.export()
        receiver.behave(400)
        await log.write(miss())
        await traces.export()
        refused_status = traces.status
        receiver.behave()
        execution_id = await log.write(hit())
        await traces.export()

    assert (refused_status.dropped, "refuses spans as invalid" in refused_status.fault) == (1, True)
    assert names(receiver, execution_id) == ["search"]
    assert traces.status.fault == ""
    assert "refuses spans" in traces.status.last_fault


async def test_spans_that_are_rejected_one_by_one_are_told(log, receiver):
    """The others count as exported, and nothing is sent again."""
    async with exporting(log.settings, receiver, log.clock) as traces:
        await traces.export()
        receiver.behave("reject")
        await log.write(miss())
        await traces.export()
        rejected = traces.status
        receiver.behave()
        await log.write(hit())
        await traces.export()

    assert (rejected.exported, rejected.dropped) == (1, 0)
    assert rejected.fault == "The collector has rejected 1 of 2 spans of a batch."
    assert (traces.status.exported, traces.status.fault) == (2, "")
    assert len(receiver.requests) == 2


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (500, "answers 500. Its own log says why."),
        (503, "answers 503. Its own log says why."),
        (401, "answers 401. Check OTEL_EXPORTER_OTLP_HEADERS."),
        (404, "answers 404. Check the path"),
        (302, "answers 302. Redirections are not followed"),
        ("garbage", "cannot be reached (ConnectionError)"),
        ("hang", "does not answer in time. Is the collector running"),
    ],
)
async def test_what_is_wrong_with_a_collector_is_said(log, receiver, how, said, monkeypatch):
    """In words, with what to do, and without its address."""
    # What it may be worth to try again the exporter tries again after a second, and says why.
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2.5" if how == "garbage" else "0.3")
    async with exporting(log.settings, receiver, log.clock) as traces:
        await traces.export()
        receiver.behave(how)
        await log.write(hit())

        with pytest.raises(CollectorUnavailable) as caught:
            await traces.export()

    assert said in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)
    assert not isinstance(caught.value, BatchRefused)


async def test_a_share_is_chosen_by_trace_id_and_what_is_notable_is_kept(log, receiver):
    """Two exporters agree on the share; errors and fallbacks go out in any case."""
    settings = log.settings.model_copy(update={"traces_sample_ratio": 0.5})
    async with exporting(settings, receiver, log.clock) as traces:
        await traces.export()
        common = [await log.write(hit()) for _ in range(60)]
        odd = [
            await log.write(events) for events in [fallback(), (received(), refused("internal_error"))] * 20
        ]
        await traces.export()
        chosen = {one for one in common if names(receiver, one)}

    assert 10 < len(chosen) < 50
    assert all(names(receiver, one) for one in odd)
    # By the right-most digits of the trace, as OpenTelemetry's own samplers choose.
    assert chosen == {one for one in common if int(one.replace("-", "")[16:], 16) < 2**63}


async def test_the_environment_s_own_variables_are_heeded(log, receiver, monkeypatch):
    """Names, attributes, headers, compression and sampler are those of OpenTelemetry."""
    for name, value in {
        "OTEL_SERVICE_NAME": "search",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,service.namespace=a%20b",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_TRACES_SAMPLER": "always_off",
    }.items():
        monkeypatch.setenv(name, value)
    settings = log.settings.model_copy(
        update={"otlp_headers": Settings(otlp_headers="authorization=Bearer%20abc").otlp_headers}
    )
    async with exporting(settings, receiver, log.clock) as traces:
        await traces.export()
        dull, odd = await log.write(hit()), await log.write(fallback())
        await traces.export()

    assert receiver.requests[0].headers["authorization"] == "Bearer abc"
    assert receiver.requests[0].headers["content-encoding"] == "gzip"
    assert (names(receiver, dull), len(names(receiver, odd))) == ([], 3)
    resource = receiver.taken[0].resource
    assert resource["service.name"] == "search"
    assert resource["deployment.environment.name"] == "test"
    assert resource["service.namespace"] == "a b"
    assert resource["service.instance.id"] == "i-1"


async def test_what_cannot_be_encoded_is_given_up(receiver):
    """Trying again would not help: it is as if the collector had refused it."""
    collector = OtlpCollector(Settings(otlp_endpoint=receiver.base_url))
    spoilt = Span(
        name="x", kind="server", trace_id="a" * 32, span_id="b" * 16, start_ns=-1, end_ns=0, attributes={}
    )

    with pytest.raises(BatchRefused, match="cannot be encoded"):
        collector.send([("i-1", spoilt)])

    collector.close()
    assert receiver.requests == []
