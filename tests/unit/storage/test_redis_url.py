"""Addresses of Redis: what they mean, and that no fault of one repeats its password."""

from __future__ import annotations

import pytest

from storage.redis_url import parse_redis_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost", "redis://localhost:6379"),
        ("redis://10.0.0.1:7000/3", "redis://10.0.0.1:7000/3"),
        ("redis://[::1]:7000/", "redis://[::1]:7000"),
        ("rediss://cache.example:6380", "rediss://cache.example:6380"),
        ("redis+sentinel://s1,s2:26380/main/2", "redis+sentinel://s1:26379,s2:26380/main/2"),
        ("redis+cluster://c1:7000,c2", "redis+cluster://c1:7000,c2:6379"),
        ("rediss+cluster://amos:secret@c1", "rediss+cluster://c1:6379"),
    ],
)
def test_an_address_is_read_with_the_usual_ports(url: str, shown: str):
    """Every form is understood; what is shown of it leaves out who we are."""
    address = parse_redis_url(url)

    assert str(address) == shown
    assert "secret" not in repr(address)


def test_a_password_is_percent_decoded():
    """Special characters of a password arrive as they were meant."""
    address = parse_redis_url("redis://ann:p%40ss%2Fw%3Ard@host/1")

    assert (address.user, address.password, address.db) == ("ann", "p@ss/w:rd", 1)


def test_a_password_alone_needs_no_user():
    """`requirepass` knows no users."""
    address = parse_redis_url("redis://:secret@host")

    assert (address.user, address.password) == (None, "secret")


def test_tls_options_are_for_tls():
    """Whom to trust is said for TLS only."""
    assert parse_redis_url("rediss://host?ssl_ca_certs=/ca.pem").tls == {"ssl_ca_certs": "/ca.pem"}

    with pytest.raises(ValueError, match="of rediss://"):
        parse_redis_url("redis://host?ssl_ca_certs=/ca.pem")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "secret",
        "redis://",
        "redis://:secret@",
        "redis://:secret@host:0",
        "redis://:secret@host:70000",
        "redis://:secret@host:6379:6379",
        "redis://:secret@ho st",
        "redis://:secret@host/one",
        "redis://:secret@a,b",
        "redis://:sec@ret@host",
        "redis://:secret@host?db=secret",
        "redis+sentinel://:secret@a,b",
        "redis+sentinel://:secret@a,,b/main",
        "redis+cluster://:secret@a/0",
        "unix:///secret",
        "http://:secret@host",
    ],
)
def test_a_faulty_address_is_refused_and_not_repeated(url: str):
    """Each fault is found at start, and its message does not hold the password."""
    with pytest.raises(ValueError, match=r"(?i)redis") as refused:
        parse_redis_url(url)

    assert "secret" not in str(refused.value)
