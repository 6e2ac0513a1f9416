"""The decisions of a client's call, stepped by hand."""

from __future__ import annotations

import time
from email.utils import formatdate

import httpx
import pytest

from amos_sdk import errors
from amos_sdk.exchange import RetryPolicy, Send, Wait, exchange, of_object

SEND = Send("POST", "search", {})
PATIENT = RetryPolicy(attempts_max=3, backoff_base_s=1.0, backoff_cap_s=4.0, wait_s_max=15.0)


def response(status: int, body: object = None, **headers: str) -> httpx.Response:
    """An answer of the server."""
    return httpx.Response(status, json={} if body is None else body, headers=headers)


def drive(
    *outcomes: httpx.Response | httpx.HTTPError,
    policy: RetryPolicy = PATIENT,
    send: Send = SEND,
    timeout_s: float = 60.0,
    takes_s: float = 0.0,
):
    """Step an exchange through the outcomes of its sends; its answer, and how long it wanted to wait.

    Each send takes `takes_s` seconds, and what is left of the time must be what it is told.
    """
    now = 0.0
    steps = exchange(send, of_object(dict), policy, timeout_s, chance=lambda: 0.5, clock=lambda: now)
    waits = []
    left = list(outcomes)
    step = next(steps)
    try:
        while True:
            if isinstance(step, Wait):
                waits.append(step.seconds)
                now += step.seconds
                step = steps.send(None)
            else:
                assert step.left_s == pytest.approx(timeout_s - now)
                now += takes_s
                step = steps.send(left.pop(0))
    except StopIteration as done:
        assert not left, "it stopped asking before the last outcome"
        return done.value, waits


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.InvalidRequest),
        (401, errors.Unauthenticated),
        (403, errors.PermissionDenied),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (413, errors.InvalidRequest),
        (422, errors.InvalidRequest),
        (429, errors.RateLimited),
        (432, errors.BudgetExhausted),
        (433, errors.BudgetExhausted),
        (503, errors.Unavailable),
        (504, errors.DeadlineExceeded),
        (500, errors.Refused),
        (418, errors.Refused),
    ],
)
def test_every_status_has_its_error(status, kind):
    """The class tells what to do about it, the rest tells what the server said."""
    body = {"detail": {"error": "No."}, "amos": {"code": "why", "execution_id": "e1"}}

    with pytest.raises(errors.Refused) as caught:
        drive(response(status, body), policy=RetryPolicy(attempts_max=1))

    error = caught.value
    assert type(error) is kind
    assert (error.message, error.status, error.code, error.execution_id) == ("No.", status, "why", "e1")


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_asks_to_wait_is_waited_for(status):
    """The wait is exactly what Retry-After says, and the second answer counts."""
    answer, waits = drive(response(status, **{"Retry-After": "7"}), response(200, {"a": 1}))

    assert answer == {"a": 1}
    assert waits == [7.0]


def test_retry_after_may_be_a_date():
    """A date is as good as seconds, and one that has passed means now."""
    later = formatdate(time.time() + 10, usegmt=True)

    _, waits = drive(response(503, **{"Retry-After": later}), response(200))
    _, none = drive(response(503, **{"Retry-After": formatdate(0, usegmt=True)}), response(200))

    assert 7 < waits[0] <= 10
    assert none == [0.0]


def test_without_retry_after_the_wait_doubles():
    """Full jitter: the draw of one half gives half of one second, then half of two."""
    _, waits = drive(response(503), response(503), response(200))

    assert waits == [0.5, 1.0]


def test_the_last_attempt_raises_its_error():
    """After attempts_max the error is the caller's."""
    with pytest.raises(errors.Unavailable):
        drive(response(503), response(503), response(503))


def test_a_long_wait_is_the_callers_decision():
    """A server that asks for more than wait_s_max is not waited for, and its error says how long."""
    with pytest.raises(errors.RateLimited) as caught:
        drive(response(429, **{"Retry-After": "3600"}))

    assert caught.value.retry_after_s == 3600.0


def test_no_wait_goes_past_the_time_of_the_call():
    """A wait that would end after timeout_s is not begun; the error is the caller's at once."""
    answer, waits = drive(response(429, **{"Retry-After": "7"}), response(200), timeout_s=7.5)
    with pytest.raises(errors.RateLimited):
        drive(response(429, **{"Retry-After": "7"}), timeout_s=7.5, takes_s=0.6)

    assert (answer, waits) == ({}, [7.0])


def test_what_is_not_there_yet_is_asked_for_again():
    """A 404 that says when to ask again is waited for while the call allows it, and is no attempt."""
    send = Send("GET", "executions/1", {}, not_yet_s=2.5)
    not_yet = response(404, **{"Retry-After": "1"})

    answer, waits = drive(
        not_yet, not_yet, response(200, {"a": 1}), send=send, policy=RetryPolicy(attempts_max=1)
    )
    with pytest.raises(errors.NotFound):
        drive(not_yet, not_yet, not_yet, send=send)
    with pytest.raises(errors.NotFound):
        drive(response(404), send=send)

    assert (answer, waits) == ({"a": 1}, [1.0, 1.0])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 432, 500, 504])
def test_what_a_retry_cannot_help_is_not_retried(status):
    """Only 429 and 503 ask for another try."""
    with pytest.raises(errors.Refused):
        drive(response(status))


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout])
def test_what_never_left_is_retried(error):
    """Nothing was sent, so nothing can have been paid for."""
    answer, waits = drive(error("x"), response(200, {"a": 1}))

    assert answer == {"a": 1}
    assert len(waits) == 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ReadTimeout, errors.TimedOut),
        (httpx.ReadError, errors.Unreachable),
        (httpx.RemoteProtocolError, errors.Unreachable),
        (httpx.WriteError, errors.Unreachable),
    ],
)
def test_what_may_have_been_done_is_not_retried(error, kind):
    """A call that broke after it had left may have been made and paid for; the cause is kept."""
    with pytest.raises(kind) as caught:
        drive(error("internal words"))

    assert "internal words" not in caught.value.message
    assert isinstance(caught.value.__cause__, error)


def test_why_nothing_could_be_connected_to_is_told():
    """A certificate that is not trusted and a closed port ask for different things of the caller."""
    distrust = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate"

    with pytest.raises(errors.Unreachable, match="self-signed certificate"):
        drive(*[httpx.ConnectError(distrust)] * PATIENT.attempts_max)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json=7),
        httpx.Response(302, headers={"Location": "/x"}),
    ],
)
def test_another_servers_answer_is_recognised(answer):
    """A page, a redirection and JSON of another shape are no answer of AMOS."""
    steps = exchange(SEND, of_object(lambda body: body["results"]), PATIENT, 60.0)
    next(steps)

    with pytest.raises(errors.UnexpectedAnswer):
        steps.send(answer)


def test_wrong_fields_are_named():
    """Where the server lists what is wrong, the message names every field and leaves out the noise."""
    wrong = [{"loc": ["body", "urls", 0], "msg": "not a string"}, {"msg": "x"}, 7]

    with pytest.raises(errors.InvalidRequest, match=r"^urls\.0: not a string; request: x$"):
        drive(response(422, {"detail": wrong}))


@pytest.mark.parametrize("body", ["<html>", "[]", '{"detail":7}', '{"detail":{"error":null}}', ""])
def test_an_error_that_says_nothing_is_named_by_its_status(body):
    """Whatever a proxy in between answers, the message is a sentence."""
    with pytest.raises(errors.Refused) as caught:
        drive(httpx.Response(502, text=body))

    assert caught.value.message == "HTTP 502 Bad Gateway"


def test_an_accepted_status_is_an_answer():
    """What is wrong with the server is the answer of /health, not an error."""
    answer, waits = drive(response(503, {"status": "down"}), send=Send("GET", "health", {}, frozenset({503})))

    assert answer == {"status": "down"}
    assert waits == []


@pytest.mark.parametrize(
    "wrong", [{"attempts_max": 0}, {"backoff_base_s": -1.0}, {"wait_s_max": -0.1}, {"backoff_cap_s": -1.0}]
)
def test_a_policy_that_makes_no_sense_is_refused(wrong):
    """The first attempt counts, and time does not run backwards."""
    with pytest.raises(ValueError, match="must"):
        RetryPolicy(**wrong)
