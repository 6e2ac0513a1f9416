"""Whose word counts when somebody says who the client is."""

from __future__ import annotations

import pytest

from api.middleware.proxies import Proxies, usual

TRUSTED = ("10.0.0.0/8", "fd00::/8", "127.0.0.1/32")


def client_of(headers: dict[str, str], peer: str = "10.0.0.1") -> tuple[str, str]:
    """The client that is believed in."""
    folded = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    return Proxies(TRUSTED).client(folded, peer)


@pytest.mark.parametrize(
    ("header", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7", "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7, 10.1.2.3", "203.0.113.7"),
        ("10.9.9.9, 203.0.113.7,10.1.2.3 , fd00::5", "203.0.113.7"),
        ("10.1.1.1, 10.2.2.2", "10.1.1.1"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("[2001:DB8:0::1]:4711", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("unknown", "10.0.0.1"),
        ("203.0.113.7, unknown", "10.0.0.1"),
        ("203.0.113.7, evil<script>, 10.1.1.1", "10.1.1.1"),
        ("", "10.0.0.1"),
        (", ,", "10.0.0.1"),
        ("999.1.1.1", "10.0.0.1"),
        (", ".join(["203.0.113.7"] + ["10.1.1.1"] * 31), "203.0.113.7"),
        (", ".join(["203.0.113.7"] + ["10.1.1.1"] * 500), "10.1.1.1"),
    ],
)
def test_the_first_address_from_the_right_that_is_no_proxy_s_is_the_client_s(header: str, client: str):
    """What stands further left is the client's invention, and rubbish ends the walk."""
    assert client_of({"x-forwarded-for": header})[0] == client


@pytest.mark.parametrize(
    ("header", "client", "scheme"),
    [
        ("for=203.0.113.7;proto=https;by=10.0.0.9", "203.0.113.7", "https"),
        ('For="[2001:db8::1]:4711"; Proto=HTTPS', "2001:db8::1", "https"),
        ("for=6.6.6.6, for=203.0.113.7;proto=https, for=10.1.1.1", "203.0.113.7", "https"),
        ("for=_hidden, for=10.1.1.1", "10.1.1.1", ""),
        ('for="unknown"', "10.0.0.1", ""),
        ("proto=https", "10.0.0.1", ""),
    ],
)
def test_forwarded_is_understood_as_well(header: str, client: str, scheme: str):
    """RFC 7239, where no X-Forwarded-For is present."""
    assert client_of({"forwarded": header}) == (client, scheme)


def test_x_forwarded_for_wins_over_forwarded():
    """Common proxies pass on a client's own Forwarded as it came."""
    headers = {"x-forwarded-for": "203.0.113.7", "forwarded": "for=6.6.6.6"}

    assert client_of(headers)[0] == "203.0.113.7"


@pytest.mark.parametrize("peer", ["203.0.113.99", "2001:db8::9", "", "unix"])
def test_nobody_else_is_believed(peer: str):
    """A client that connects itself is who it is, whatever it says."""
    headers = {"x-forwarded-for": "1.2.3.4", "forwarded": "for=1.2.3.4", "x-forwarded-proto": "https"}

    assert client_of(headers, peer) == (peer, "")


def test_without_trusted_proxies_nobody_is_believed():
    """The default: the peer's address, however it is spelled."""
    proxies = Proxies()

    assert proxies.client({b"x-forwarded-for": b"1.2.3.4"}, "10.0.0.1") == ("10.0.0.1", "")
    assert proxies.client({}, "::ffff:10.0.0.1") == ("10.0.0.1", "")


@pytest.mark.parametrize(
    ("said", "scheme"),
    [("https", "https"), ("http, https", "https"), ("HTTPS", "https"), ("ftp", ""), ("", "")],
)
def test_a_trusted_proxy_says_how_the_client_came(said: str, scheme: str):
    """The nearest proxy's word, if it is a scheme of the web."""
    assert client_of({"x-forwarded-for": "1.2.3.4", "x-forwarded-proto": said})[1] == scheme


def test_a_proxy_on_a_socket_of_both_families_is_recognised():
    """`::ffff:10.0.0.1` is 10.0.0.1."""
    assert client_of({"x-forwarded-for": "203.0.113.7"}, "::ffff:10.0.0.1")[0] == "203.0.113.7"


def test_what_is_no_address_has_no_usual_form():
    """The usual form is one, or nothing."""
    assert usual("203.0.113.007") == ""
    assert usual("2001:DB8::0:1") == "2001:db8::1"
