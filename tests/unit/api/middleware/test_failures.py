"""The last net: what is raised becomes an answer, and tells nothing it should not."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from api.middleware.failures import Failures
from api.rest.exchange import ClientLeft
from api.rest.problems import Problem
from orchestrator.errors import NotFound


async def answer_to(
    error: Exception, *, path: str = "/search", method: str = "POST", **headers: str
) -> list[Message]:
    """What is sent when a route raises the error."""
    sent: list[Message] = []

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    await Failures(route)({"type": "http", "path": path, "method": method, "headers": pairs}, receive, send)
    return sent


async def test_an_unexpected_exception_is_logged_and_hidden(caplog: pytest.LogCaptureFixture):
    """The traceback is in the log, and the answer says where to look."""
    with caplog.at_level(logging.ERROR, "amos.http"):
        start, body = await answer_to(ZeroDivisionError("the secret"))

    assert start["status"] == 500
    assert b"secret" not in body["body"]
    assert b'"detail":{"error":' in body["body"]
    assert caplog.records[0].exc_info is not None


@pytest.mark.parametrize("error", [Problem(413, "x", "Too large."), NotFound("None.")])
async def test_an_expected_failure_is_not_logged(error: Exception, caplog: pytest.LogCaptureFixture):
    """What a caller did wrong is no matter for the log."""
    start, _ = await answer_to(error)

    assert start["status"] in (413, 404)
    assert caplog.records == []


async def test_nobody_is_answered_when_nobody_is_there():
    """A client that left in the middle of its body gets no answer."""
    assert await answer_to(ClientLeft()) == []


async def test_a_failure_can_be_found_again():
    """The client's own request id comes back, or one is made."""
    own, _ = await answer_to(NotFound("None."), x_request_id="mine-1")
    made, _ = await answer_to(NotFound("None."), x_request_id="not harmless!")

    assert (b"x-request-id", b"mine-1") in own["headers"]
    assert len(dict(made["headers"])[b"x-request-id"]) == 36


async def test_a_head_request_gets_no_body():
    """The length is told, the body is not sent."""
    start, body = await answer_to(NotFound("None."), path="/reports/x", method="HEAD")

    assert int(dict(start["headers"])[b"content-length"]) > 0
    assert body["body"] == b""
