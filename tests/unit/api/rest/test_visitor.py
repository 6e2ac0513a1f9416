"""Headers as findings: credentials, traces, wishes about the cache."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.rest.visitor import Visitor, cache_control, fold, trace_of
from orchestrator.model import CacheControl
from tests.support.fuzzing import patient

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


def visitor(refusal: str = "", **headers: str) -> Visitor:
    """A visitor with these headers; `_` in a name stands for `-`."""
    pairs = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return Visitor(pairs, refusal)


def test_repeated_headers_are_joined():
    """Of a repeated header nothing is lost, so nothing can hide behind the first."""
    assert fold([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]) == {b"a": b"1, 3", b"b": b"2"}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"00-{TRACE}-{SPAN}-01", (TRACE, SPAN)),
        (f"00-{TRACE}-{SPAN}-00", (TRACE, SPAN)),
        (f"01-{TRACE}-{SPAN}-01-more", (TRACE, SPAN)),
        (f"cc-{TRACE}-{SPAN}-01", (TRACE, SPAN)),
        (f"00-{TRACE}-{SPAN}-01-more", ("", "")),
        (f"ff-{TRACE}-{SPAN}-01", ("", "")),
        (f"00-{TRACE.upper()}-{SPAN}-01", ("", "")),
        (f"00-{'0' * 32}-{SPAN}-01", ("", "")),
        (f"00-{TRACE}-{'0' * 16}-01", ("", "")),
        (f"00-{TRACE[1:]}-{SPAN}-01", ("", "")),
        (f"00-{TRACE}-{SPAN}-1", ("", "")),
        (f"00-{TRACE}-{SPAN}", ("", "")),
        (f"01-{TRACE}-{SPAN}-01more", ("", "")),
        (f"00-{TRACE}-{SPAN}-01, 00-{TRACE}-{SPAN}-01", ("", "")),
        (f" 00-{TRACE}-{SPAN}-01", ("", "")),
        ("", ("", "")),
    ],
)
def test_only_a_valid_traceparent_counts(header: str, expected: tuple[str, str]):
    """A broken trace is no trace: it is never half taken over."""
    assert trace_of(header.encode()) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("no-cache", CacheControl(no_cache=True)),
        ("No-Store", CacheControl(no_store=True)),
        ("only-if-cached, max-age=60", CacheControl(only_if_cached=True, max_age_s=60.0)),
        ('max-age="5"', CacheControl(max_age_s=5.0)),
        ("max-age=0", CacheControl(max_age_s=0.0)),
        ("max-age=-1", CacheControl()),
        ("max-age=soon", CacheControl()),
        ("max-age", CacheControl()),
        ("max-age=" + "9" * 400, CacheControl(max_age_s=999_999_999.0)),
        ("max-age=" + "0" * 400 + "7", CacheControl(max_age_s=7.0)),
        ("max-age=60, max-age=1", CacheControl(max_age_s=60.0)),
        ("max-age = 5", CacheControl()),
        ("stale-if-error=5, , =", CacheControl(stale_if_error_s=5.0)),
        ("stale-if-error", CacheControl()),
        ("stale-if-error=0, no-cache", CacheControl(no_cache=True, stale_if_error_s=0.0)),
        (r'note="of \"no-store, no-cache", only-if-cached', CacheControl(only_if_cached=True)),
        ('only-if-cached, note="never closed, no-cache', CacheControl(only_if_cached=True)),
        ('"' + '\\"' * 8_000, CacheControl()),
        ("", CacheControl()),
    ],
)
def test_wishes_about_the_cache(header: str, expected: CacheControl):
    """Known directives are understood, everything else is ignored."""
    assert cache_control(header.encode()) == expected


@patient
@given(st.binary(max_size=80))
def test_no_header_breaks_the_reading(value: bytes):
    """Headers come from strangers: any bytes are read or ignored."""
    names = (b"authorization", b"traceparent", b"cache-control", b"x-request-id")
    found = Visitor(dict.fromkeys(names, value), "")

    assert found.caller().door == "http"
    assert found.request_id in (b"", value)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Bearer tvly-1", "tvly-1"),
        ("bearer  tvly-1 ", "tvly-1"),
        ("Basic dXNlcg==", "body"),
        ("Bearer ", "body"),
        ("Bearer", "body"),
    ],
)
def test_a_key_in_the_header_wins(header: str, expected: str):
    """The header's key counts before the body's; what is no key does not."""
    assert visitor(authorization=header).caller(credential="body").credential == expected


@pytest.mark.parametrize(
    ("authorization", "api_key", "expected"),
    [
        ("Bearer a", "a", "a"),
        ("Bearer a", "", "a"),
        ("Bearer ", " b ", "b"),
        ("Basic dXNlcg==", "b", "b"),
        ("Bearer a", "b", "a, b"),
    ],
)
def test_two_headers_with_one_key_are_one_key(authorization: str, api_key: str, expected: str):
    """X-API-Key may repeat the bearer; if they differ both are given on, which no key survives."""
    found = visitor(authorization=authorization, x_api_key=api_key).caller(credential="body").credential

    assert found == expected


@pytest.mark.parametrize("joined", ["Bearer a, Bearer b", "Basic dXNlcg==, Bearer b"])
def test_several_authorizations_are_given_on_as_they_are(joined: str):
    """Also where only one of them is a bearer: another layer may have meant the other."""
    assert visitor(authorization=joined).caller(credential="body").credential is not None
    assert "," in str(visitor(authorization=joined).caller().credential)


def test_the_guard_s_finding_becomes_the_caller():
    """Only a visitor nothing speaks against is the local operator."""
    assert visitor().caller().is_local_operator
    assert not visitor("proxied").caller().is_local_operator
    assert visitor("proxied").caller().refusal == "proxied"


@pytest.mark.parametrize(
    ("given_id", "expected"),
    [
        ("abc-1.2_X", b"abc-1.2_X"),
        ("a" * 128, b"a" * 128),
        ("a" * 129, b""),
        ("a b", b""),
        ("a\n", b""),
        ("", b""),
    ],
)
def test_only_a_harmless_request_id_is_repeated(given_id: str, expected: bytes):
    """A request id is echoed as it is or not at all."""
    assert visitor(x_request_id=given_id).request_id == expected
