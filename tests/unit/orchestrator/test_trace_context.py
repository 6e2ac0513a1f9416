"""Ids of an execution in a trace follow from its own id."""

from __future__ import annotations

import re

import uuid_utils

from orchestrator.trace_context import span_id_of, trace_id_of, traceparent

HEADER = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01")


def test_the_trace_of_the_caller_goes_on():
    """What is no id of a trace begins one."""
    begun = trace_id_of("0198c0de-0000-7000-8000-00000000000a")

    assert begun == "0198c0de00007000800000000000000a"
    assert trace_id_of("0198c0de-0000-7000-8000-00000000000a", "ab" * 16) == "ab" * 16
    assert {trace_id_of("0198c0de-0000-7000-8000-00000000000a", bad) for bad in ("", "AB" * 16)} == {begun}


def test_every_execution_has_valid_ids_of_its_own():
    """Of the right length, never zero, and no two alike."""
    executions = [str(uuid_utils.uuid7()) for _ in range(1_000)]

    spans = {span_id_of(one) for one in executions}

    assert len(spans) == len(executions)
    assert all(HEADER.fullmatch(traceparent(trace_id_of(one), span_id_of(one))) for one in executions)
    # The variant of a UUID (RFC 9562, 4.1) makes the first of these bits a one.
    assert all(int(span[0], 16) >= 8 for span in spans)
