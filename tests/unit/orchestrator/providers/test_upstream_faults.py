"""Every failure of the transport and every status has one error of ours."""

from __future__ import annotations

import inspect
import ssl
import time

import aiohttp
import httpx
import pytest

from orchestrator import limits
from orchestrator.errors import ProviderError, ProviderProtocolError, ProviderTimeout, ProviderUnavailable
from orchestrator.events import FREE
from orchestrator.providers.jina_faults import five_digits
from orchestrator.providers.tavily_usage import TavilyUsage
from orchestrator.providers.upstream import Reply
from orchestrator.providers.upstream_faults import FAULTS, retry_after_s, status_fault, transport_fault


def exceptions_of(module):
    """The exception classes a module defines or shows."""
    return [cls for _, cls in inspect.getmembers(module, inspect.isclass) if issubclass(cls, Exception)]


@pytest.mark.parametrize("cls", exceptions_of(httpx))
def test_every_httpx_exception_has_a_row(cls):
    """An exception class that httpx adds is noticed here before a caller meets it."""
    assert cls in FAULTS


# Of server-side and websocket use, which we make none of.
ELSEWHERE = (
    aiohttp.WSMessageTypeError,
    aiohttp.WebSocketError,
    aiohttp.EofStream,
    aiohttp.BadContentDispositionHeader,
)


@pytest.mark.parametrize(
    "cls", [cls for cls in exceptions_of(aiohttp) if not issubclass(cls, (*ELSEWHERE, Warning))]
)
def test_every_aiohttp_exception_has_a_row(cls):
    """Each exception of aiohttp's client, or a base of it, has a row."""
    assert any(base in FAULTS for base in cls.__mro__)


def test_the_cause_decides():
    """The adapter's name for the failure is ignored where aiohttp's own is known."""
    error = httpx.ConnectTimeout("Server disconnected")
    error.__cause__ = aiohttp.ServerDisconnectedError()

    fault = transport_fault(error, "tavily")

    assert (type(fault), fault.reason, fault.provider) == (ProviderUnavailable, "reset", "tavily")


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (TimeoutError(), ProviderTimeout, "timeout"),
        (aiohttp.ConnectionTimeoutError(), ProviderTimeout, "timeout"),
        (httpx.ReadTimeout(""), ProviderTimeout, "timeout"),
        (ConnectionResetError(), ProviderUnavailable, "reset"),
        (ssl.SSLError(), ProviderUnavailable, "reset"),
        (KeyError(), ProviderUnavailable, "transport"),
    ],
)
def test_the_most_specific_class_decides(error, kind, reason):
    """An exception is classified by its nearest class that has a row; one without any is still ours."""
    fault = transport_fault(error, "tavily")

    assert (type(fault), fault.reason) == (kind, reason)


@pytest.mark.parametrize(
    "error", [aiohttp.InvalidURL("h"), httpx.ConnectError(""), httpx.UnsupportedProtocol("")]
)
def test_a_request_that_was_never_sent_costs_nothing(error):
    """Before the request has left us nobody can bill it."""
    assert transport_fault(error, "tavily").assumed == FREE


@pytest.mark.parametrize("error", [TimeoutError(), ConnectionResetError(), aiohttp.ClientPayloadError()])
def test_a_request_that_may_have_arrived_may_be_billed(error):
    """After a timeout, a reset or half an answer nobody knows what it cost."""
    assert transport_fault(error, "tavily").assumed is None


def test_a_message_holds_nothing_foreign():
    """The text of a foreign exception, which may hold a URL, is not repeated."""
    assert "secret" not in transport_fault(httpx.ReadError("https://h/?key=secret"), "tavily").message


@pytest.mark.parametrize("status", [*range(201, 208), *range(300, 600)])
def test_every_status_is_an_error(status):
    """Whatever comes instead of 200 has a class and a short reason."""
    fault = status_fault(Reply(status=status, headers={}, body=b"", retry_after_s=5), "jina")

    assert isinstance(fault, ProviderError)
    assert fault.reason.replace("_", "").isalnum()
    assert fault.retry_after_s == 5
    assert fault.assumed == FREE


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0),
        (" 12 ", 12),
        ("1.5", 1.5),
        ("0.05", 0.05),
        (".5", None),
        ("1e3", None),
        ("-3", None),
        ("soon", None),
        ("9" * 18, limits.RETRY_AFTER_S_MAX),
        ("9" * 500, None),
        ("Sat, 99 Nov 2026 00:00:00 GMT", None),
        ("Sat, 01 Jan 2000 00:00:00 GMT", 0),
        ("Fri, 01 Jan 2100 00:00:00 GMT", limits.RETRY_AFTER_S_MAX),
        ("Wed, 18 Nov 2026 11:07:50 GMT", 70),
        ("Wednesday, 18-Nov-26 11:07:50 GMT", 70),
        ("Wed Nov 18 11:07:50 2026", 70),
        ("Wed, 18 Nov 2026 11:07:50 -0000", 70),
    ],
)
def test_retry_after_in_all_its_forms(value, seconds):
    """Seconds and the three date forms are read, bounded at both ends; anything else is absent."""
    assert retry_after_s(value, 1_795_000_000.0) == seconds


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
@pytest.mark.parametrize(
    "value", ["Wed Nov 18 11:07:50 2026", "Wed, 18 Nov 2026 11:07:50 -0000", "Wed, 18 Nov 2026 11:07:50"]
)
def test_a_date_without_a_zone_is_of_utc(zone, value, monkeypatch):
    """Wherever this machine stands: HTTP knows no other time."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert retry_after_s(value, 1_795_000_000.0) == 70
    finally:
        monkeypatch.undo()
        time.tzset()


TOO_DEEP = b'{"status":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


async def test_an_answer_too_deep_to_be_read_is_the_providers_fault():
    """JSON of a hundred thousand levels ends as a failure of that provider, and not as a bug of ours."""

    class Deep:
        async def get(self, url, *, headers):
            return Reply(status=200, headers={}, body=TOO_DEEP)

    with pytest.raises(ProviderProtocolError) as fault:
        await TavilyUsage(Deep(), "http://t.example", ["k"]).counter()

    assert fault.value.reason == "bad_json"
    assert five_digits(TOO_DEEP) is None
