"""Both formats of the exposition: parsers of others read from them what was put in."""

from __future__ import annotations

import math

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_plain

from api.rest.exposition import expose_log, expose_process
from orchestrator.reports.metrics import COUNTER, GAUGE, HISTOGRAM, Family, Histogram, gauge

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PLAIN = "text/plain; version=0.0.4; charset=utf-8"
PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"

FAMILIES = (
    Family("amos_calls_total", 'Help with "quotes" \\ and more.', COUNTER, ("a",), ((('x"\\\n',), 3),)),
    Family("amos_spent_usd_total", "Money.", COUNTER, (), (((), 0.008),)),
    Family("amos_assumed_usd", "Money.", GAUGE, ("a",), ((("x",), 0.0),)),
    Family(
        "amos_stay_seconds",
        "Durations.",
        HISTOGRAM,
        ("a",),
        ((("x",), Histogram(((0.02, 1), (0.5, 2), (math.inf, 4)), 7.25)),),
    ),
    gauge("amos_level", "A level.", True),
)


def samples(families):
    """Name, labels and value of every sample."""
    return sorted(
        (sample.name, tuple(sorted(sample.labels.items())), sample.value)
        for family in families
        for sample in family.samples
    )


@pytest.mark.parametrize(
    ("accept", "content_type", "read"), [("", PLAIN, read_plain), (PROMETHEUS, OPENMETRICS, read_openmetrics)]
)
def test_a_parser_reads_what_was_put_in(accept, content_type, read):
    """Names, kinds, units, help, labels with any characters, and values."""
    found_type, body = expose_log(FAMILIES, accept)

    assert found_type == content_type
    families = list(read(body.decode()))
    assert samples(families) == sorted(
        [
            ("amos_calls_total", (("a", 'x"\\\n'),), 3.0),
            ("amos_spent_usd_total", (), 0.008),
            ("amos_assumed_usd", (("a", "x"),), 0.0),
            ("amos_stay_seconds_bucket", (("a", "x"), ("le", "0.02")), 1.0),
            ("amos_stay_seconds_bucket", (("a", "x"), ("le", "0.5")), 2.0),
            ("amos_stay_seconds_bucket", (("a", "x"), ("le", "+Inf")), 4.0),
            ("amos_stay_seconds_count", (("a", "x"),), 4.0),
            ("amos_stay_seconds_sum", (("a", "x"),), 7.25),
            ("amos_level", (), 1.0),
        ]
    )
    kinds = {family.name.removesuffix("_total"): family.type for family in families}
    assert kinds["amos_calls"] == "counter"
    assert kinds["amos_stay_seconds"] == "histogram"
    assert kinds["amos_assumed_usd"] == "gauge"


def test_openmetrics_names_the_units():
    """Only there is a place for them."""
    body = expose_log(FAMILIES, PROMETHEUS)[1].decode()

    assert "# UNIT amos_stay_seconds seconds\n" in body
    assert "# UNIT amos_spent_usd usd\n" in body
    assert body.endswith("# EOF\n")


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", PLAIN),
        ("text/html,application/xhtml+xml", PLAIN),
        ("text/plain;version=0.0.4;q=0.9,application/openmetrics-text;q=0.1", PLAIN),
        ("application/openmetrics-text;q=0", PLAIN),
        ("application/openmetrics-text;q=much", PLAIN),
        ("application/openmetrics-text;q=nan", PLAIN),
        ("Application/OpenMetrics-Text", OPENMETRICS),
        ("application/openmetrics-text;version=99.99;escaping=\u00e9", OPENMETRICS),
        ("text/plain,application/openmetrics-text", OPENMETRICS),
        (";;;,,,=;q=;", PLAIN),
        ("application/openmetrics-text," * 1_000, OPENMETRICS),
    ],
)
def test_any_accept_has_an_answer(accept, content_type):
    """A header that is garbage, or names nothing of ours, gets the plain format; it is not repeated."""
    assert expose_log(FAMILIES, accept)[0] == content_type


@pytest.mark.parametrize(("accept", "read"), [("", read_plain), (PROMETHEUS, read_openmetrics)])
def test_a_process_says_which_it_is(accept, read):
    """Processor time, memory, descriptors and garbage collection are there, and every sample has the pid."""
    for _ in range(2):
        families = list(read(expose_process(FAMILIES, accept)[1].decode()))

    found = {sample.name for family in families for sample in family.samples}
    assert {
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
        "python_gc_collections_total",
        "amos_level",
    } <= found
    pids = {sample.labels["pid"] for family in families for sample in family.samples}
    assert len(pids) == 1
