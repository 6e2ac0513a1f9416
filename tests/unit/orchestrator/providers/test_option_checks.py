"""Options of providers: what cannot be meant is refused, and no secret is written in them."""

from __future__ import annotations

import pytest

from orchestrator.errors import InvalidRequest
from orchestrator.providers.option_checks import check_headers, check_url, missing_secret, with_secrets
from tests.support.mcp_provider import mcp_provider

SECRETS = {"linear": "lin/secret", "empty": "", "split": "two\r\nlines"}.get


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://a.example", "a.example/mcp", "http://", "http://me@a.example/", "https://me:pw@a.example"),
        *("http://a.example/#part", "http://a.example/ b", "http://a.example:port/", "http://[::1/"),
        *("http://a.example/?api_key=123", "http://a.example/mcp?x=1&Token=abc", "http://ä.example"),
        "http://a.example/" + "x" * 2_048,
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(url):
    """Neither is one that holds a secret, which would be shown wherever options are."""
    with pytest.raises(InvalidRequest, match="url"):
        check_url(url)


@pytest.mark.parametrize(
    "url", ["https://a.example/mcp?tavilyApiKey={secret:tavily}", "http://10.0.0.1:8080/x?profile=a"]
)
def test_an_address_may_name_a_secret_and_be_private(url):
    """Some servers take their key in the address; where a server stands is the operator's choice."""
    check_url(url)


@pytest.mark.parametrize(
    "headers",
    [
        *(
            {"Authorization": "Bearer abc"},
            {"X-API-Key": "abc"},
            {"cookie": "session=1"},
            {"X-Auth-Token": ""},
        ),
        *({"Host": "b"}, {"mcp-session-id": "b"}, {"Content-Type": "b"}, {"traceparent": "b"}, {"Via": "b"}),
        *(
            {"X A": "b"},
            {"": "b"},
            {"X-A": "b\n"},
            {"X-A": "b\r\nX-B: c"},
            {"X-A": "ä"},
            {"X-A": "b" * 5_000},
        ),
        *({"X-A": "b", "x-a": "c"}, {f"X-{number}": "b" for number in range(17)}),
    ],
)
def test_headers_that_cannot_be_sent_are_refused(headers):
    """Those that AMOS sets itself, those that are none, and those that hold a secret themselves."""
    with pytest.raises(InvalidRequest, match="headers"):
        check_headers(headers)


def test_secrets_are_put_where_they_are_named():
    """In a header as they are, in an address so that they stay one value."""
    assert with_secrets("Bearer {secret:linear}!", SECRETS) == "Bearer lin/secret!"
    assert with_secrets("http://a/?k={secret:linear}", SECRETS, is_url=True) == "http://a/?k=lin%2Fsecret"
    assert missing_secret(["Bearer {secret:linear}", "plain"], SECRETS) == ""


@pytest.mark.parametrize(
    ("name", "words"), [("absent", "has no absent"), ("empty", "has no empty"), ("split", "cannot be sent")]
)
def test_what_is_wrong_with_a_secret_is_told_by_its_name(name, words):
    """Its value is not shown."""
    told = missing_secret([f"{{secret:{name}}}"], SECRETS)

    assert words in told
    assert "lines" not in told


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"tool": "two words"}, "tool"),
        ({"arguments": {"q": "tides"}}, "arguments"),
        ({"results": "data..items"}, "results"),
        ({"results": "x" * 300}, "results"),
        ({"fields": {"colour": "c"}}, "fields"),
        ({"fields": {"title": ".x"}}, "title"),
        ({"protocol": "2024-11-05"}, "protocol"),
        ({"timeout_s": 61}, "timeout_s"),
        ({"timeout_s": float("nan")}, "timeout_s"),
        ({"usd_per_call": -1}, "usd_per_call"),
        ({"credits_per_call": 1e9}, "credits_per_call"),
        ({"headers": {"Authorization": "Bearer abc"}}, "headers"),
        ({"retries": 3}, "retries"),
    ],
)
def test_options_of_a_remote_tool_that_cannot_be_meant_are_refused(options, named):
    """The refusal names the option."""
    with pytest.raises(InvalidRequest, match=named):
        mcp_provider("http://a.example/mcp", **options)


def test_a_limit_of_its_own_is_its_timing():
    """Without one the operator's policy for all providers holds."""
    assert mcp_provider("http://a.example/mcp").timing is None
    assert mcp_provider("http://a.example/mcp", timeout_s=2.5).timing.search_s == 2.5
