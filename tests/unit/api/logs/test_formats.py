"""Lines as JSON and as text: all fields are those of ECS, and what strangers write stays in its line."""

from __future__ import annotations

import itertools
import json
import logging
import math
import random
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.logs.clean import CAUSES_MAX, FRAMES_MAX, stack_of
from api.logs.formats import LINE_BYTES_MAX, EcsFormat, TextFormat
from orchestrator.errors import InvalidRequest
from orchestrator.events import Envelope, RequestCompleted, RequestFailed, RequestReceived
from orchestrator.projections.fact_lines import fact_line
from orchestrator.projections.log_lines import execution_line
from tests.support import ecs
from tests.support.golden_events import EVENTS
from tests.support.histories import answered, fallback, hit, known, miss, numbered, refused
from tests.support.random_histories import RandomHistories

ECS = EcsFormat("host-7")
TEXT = TextFormat()
ID = "0198c0de-0000-7000-8000-00000000000a"
HOSTILE = st.text(max_size=60) | st.sampled_from(
    ["\r\nX", "\x1b[2J", "\u2028", "\u202e", "\ud800", '"}', "\x00"]
)


def record(message: str, *arguments: object, level: int = logging.INFO, error: bool = False):
    """A line of `logging`; with the exception that is being handled."""
    return logging.LogRecord("amos.test", level, "", 0, message, arguments, sys.exc_info() if error else None)


def raised(error: BaseException, cause: BaseException | None = None):
    """A record of an exception that was really raised."""
    try:
        try:
            if cause is not None:
                raise cause
        finally:
            raise error from cause
    except type(error):
        return record("it broke", level=logging.ERROR, error=True)


def executions():
    """A line of each kind of execution, of random ones and of every fact."""
    stale = (EVENTS["amos.request.received.v1"], EVENTS["amos.cache.stale.v1"], answered(stale=True))
    histories = [
        hit(),
        miss(),
        fallback(),
        stale,
        (known(), refused("rate_limited")),
        (known(), refused("timeout")),
    ]
    lines = [execution_line(ID, "w-1", numbered(one), lambda *_: 503) for one in histories]
    lines += [
        execution_line(ID, "w-1", frame.events, lambda *_: 400, is_over=True)
        for frame in RandomHistories(random.Random(7)).frames(150)
        if frame.stream.startswith("e-")
    ]
    lines += [fact_line("w-1", Envelope(1, 5.0, event)) for event in EVENTS.values()]
    return [line for line in lines if line is not None]


def test_every_line_is_one_of_ecs():
    """Each of its fields is known there or ours, and of the right type."""
    lines = [ECS.line(line) for line in executions()]
    lines += [ECS.record(record("hello %s", "you")), ECS.record(raised(TypeError("x"), ValueError("y")))]

    assert len(lines) > 100
    assert {fault for line in lines for fault in ecs.faults(line)} == set()
    named = {name for line in lines for name in ecs.read(line)}
    assert named == ecs.FIELDS.keys() | ecs.OURS.keys(), "a field that no line has is listed"


def test_a_check_of_ecs_can_fail():
    """Each rule of it is broken once."""
    good = json.loads(ECS.record(record("x")))

    def broken(**changes: object) -> list[str]:
        return ecs.faults(json.dumps({**good, **changes}).encode() + b"\n")

    assert broken() == []
    assert broken(nonsense=1) == ["nonsense is unknown"]
    assert broken(process={"pid": "7"}) == ["process.pid is no long"]
    assert broken(event={"outcome": "fine"}) == ["event.outcome may not be fine"]
    assert broken(message="a\nb") == ["message is not printable"]
    assert broken(**{"@timestamp": "2026-11-30 18:00:00"}) == ["@timestamp is not in RFC 3339"]
    del good["message"]
    assert broken() == ["message is missing"]
    assert ecs.faults(b'{"a":\n1}') != []


def test_a_record_of_logging_in_full():
    """Moment, level, logger, process and service, in the shape that ecs-logging gives them."""
    one = record("hello %s", "you", level=logging.WARNING)

    fields = ecs.read(ECS.record(one))

    at = datetime.fromisoformat(fields.pop("@timestamp"))
    assert at.tzinfo == UTC
    assert math.isclose(at.timestamp(), one.created, abs_tol=0.0011)
    assert fields.pop("process.pid") == one.process
    assert fields.pop("service.version")
    assert fields == {
        "message": "hello you",
        "log.level": "warning",
        "log.logger": "amos.test",
        "ecs.version": "9.4.0",
        "service.name": "amos",
        "service.node.name": "host-7",
    }


def test_a_stack_shows_where_and_never_what():
    """An exception that may quote a stranger is shown by its type and place; ours say what they say."""
    foreign = raised(ValueError("canary in a value"), KeyError("canary in a key"))
    ours = ecs.read(ECS.record(raised(InvalidRequest("no such topic", field="topic"))))
    disk = ecs.read(ECS.record(raised(FileNotFoundError(2, "No such file", "/canary/path"))))

    for line in (ECS.record(foreign), TEXT.record(foreign)):
        assert b"canary" not in line
        assert b"in raised" in line
        assert line.index(b"KeyError") < line.rindex(b"ValueError")
    assert ours["error.message"] == "no such topic"
    assert disk["error.message"] == "No such file"
    assert disk["error.stack_trace"].endswith("FileNotFoundError: No such file")


def test_what_goes_round_is_shown_in_part():
    """Of a recursion the last frames, of a long chain of causes the last exceptions."""

    def deep(depth: int) -> None:
        if depth:
            deep(depth - 1)
        raise KeyError("too deep")

    causes = [KeyError("cause") for _ in range(CAUSES_MAX * 2)]
    for error, cause in itertools.pairwise(causes):
        error.__cause__ = cause
    with pytest.raises(KeyError) as recursion:
        deep(FRAMES_MAX * 2)

    assert len(stack_of(recursion.value)) == FRAMES_MAX + 2
    assert stack_of(causes[0]).count("KeyError") == CAUSES_MAX


@pytest.mark.parametrize(
    "secret",
    [
        "amos_live_abcdefghijkl_0123456789abcdefghijABCDEFGHIJ123456",
        "tvly-dev-0123456789abcdef",
        "jina_0123456789abcdef",
        "Bearer abcdef0123456789",
        "redis://user:hunter2hunter2@host/0",
        "https://x.example/?api_key=hunter2hunter2&q=1",
        "postgresql://amos:p@hunter2@host/amos",
        "{'password': 'hunter2hunter2'}",
        "X-API-Key: hunter2hunter2",
    ],
)
def test_what_looks_like_a_secret_is_taken_out(secret):
    """Whoever logs it, in the message or in an exception of ours."""
    told = [record("it said %s", secret), raised(TypeError(secret))]

    for line in (form.record(one) for one in told for form in (ECS, TEXT)):
        assert not any(part in line for part in (b"0123456789", b"hunter2"))
        assert b"***" in line


@given(text=HOSTILE, client=HOSTILE, reason=HOSTILE)
def test_nothing_leaves_its_line(text, client, reason):
    """Whatever a header, a client's name, a provider's reason or a library's message holds."""
    received = RequestReceived(operation="search", door="http", method=text, target=text, dialect=reason)
    done = RequestCompleted(
        operation=text, door=text, client=client, provider=reason, cache=text, results=1, duration_s=0.1
    )
    failed = RequestFailed(operation="search", door="http", client=client, error=reason, duration_s=0.1)
    lines = [
        execution_line(ID, client, numbered((received, last)), lambda *_: 500) for last in (done, failed)
    ]
    told = [ECS.line(line) for line in lines if line] + [ECS.record(record("%s", text))]
    shown = [TEXT.line(line) for line in lines if line] + [TEXT.record(record("%s", text))]

    assert [fault for line in told for fault in ecs.faults(line)] == []
    for line in shown:
        assert line.endswith(b"\n")
        assert line[:-1].decode().isprintable()


@pytest.mark.parametrize("text", ["x" * 50_000, "\U0001f600" * 50_000, "\n" * 50_000])
def test_no_line_is_longer_than_a_pipe_takes_at_once(text):
    """So that lines of several processes are not mixed; both ends of what is too long are kept."""

    def deep(number: int) -> None:
        if number:
            deep(number - 1)
        raise TypeError(text)

    try:
        deep(100)
    except TypeError:
        one = record(f"begin{text}end", error=True)

    for form in (ECS, TEXT, TextFormat(for_systemd=True)):
        line = form.record(one)
        assert len(line) <= LINE_BYTES_MAX
        assert b"begin" in line
        assert b"end" in line


def test_text_is_one_readable_line():
    """When, how bad, who and what; the id by which it is found."""
    (line,) = TEXT.line(executions()[1]).decode().splitlines()

    assert line[19:] == (
        ".006 INFO    amos.execution search by local-operator at http: 5 results from tavily (miss) in 0.5 s "
        f"[{ID}]"
    )


def test_colour_is_for_what_is_bad_only():
    """And never in a format without it."""
    coloured = TextFormat(is_coloured=True)
    bad = record("x", level=logging.ERROR)

    assert b"\x1b[31mERROR  \x1b[0m" in coloured.record(bad)
    assert b"\x1b" not in coloured.record(record("x")) + TEXT.record(bad)


def test_systemd_is_given_the_priority_of_every_line():
    """And no moment, which its journal has; sd-daemon(3)."""
    lines = TextFormat(for_systemd=True).record(raised(TypeError("no"))).decode().splitlines()

    assert lines[0].startswith("<3>ERROR amos.test[")
    assert all(line.startswith("<3>") for line in lines)
    assert lines[-1] == "<3>    TypeError: no"
