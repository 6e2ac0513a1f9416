"""The session's cookie: what its seal covers, when it ends, and which name it has."""

from __future__ import annotations

import pytest

from api.console.session import COOKIE, COOKIE_OVER_TLS, SESSION_S_MAX, Sessions
from tests.support.clock import FakeClock

SECRET = b"a secret derived for the tests"
KEY_ID = "et3TmRsRXHyo"


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture
def sessions(clock: FakeClock) -> Sessions:
    """The sessions of one installation."""
    return Sessions(SECRET, clock.now)


def sent(set_cookie: str) -> bytes:
    """What a browser sends back of a `Set-Cookie`."""
    return set_cookie.partition(";")[0].encode()


@pytest.mark.parametrize("is_secure", [False, True])
def test_a_session_names_its_key_until_it_ends(sessions: Sessions, clock: FakeClock, *, is_secure: bool):
    """It is good for eight hours and not a second longer, however often it is shown."""
    cookie = sent(sessions.begin(KEY_ID, is_secure=is_secure))

    clock.advance(SESSION_S_MAX - 1)
    assert sessions.key_id(b"theme=dark; " + cookie, is_secure=is_secure) == KEY_ID
    clock.advance(1)
    assert sessions.key_id(cookie, is_secure=is_secure) == ""


def test_another_instance_knows_the_session_by_the_same_secret(sessions: Sessions, clock: FakeClock):
    """Nothing is stored: whoever has the secret knows the session, and nobody else does."""
    cookie = sent(sessions.begin(KEY_ID, is_secure=False))

    assert Sessions(SECRET, clock.now).key_id(cookie, is_secure=False) == KEY_ID
    assert Sessions(b"another", clock.now).key_id(cookie, is_secure=False) == ""
    assert Sessions(None, clock.now).key_id(cookie, is_secure=False) == ""


def test_no_byte_of_a_cookie_can_be_changed(sessions: Sessions):
    """Another key, a later end, a shorter or a longer seal: nothing of it bears our seal."""
    name, _, value = sent(sessions.begin(KEY_ID, is_secure=False)).decode().partition("=")
    for place, char in enumerate(value):
        other = "0" if char != "0" else "1"
        forged = value[:place] + other + value[place + 1 :]
        assert sessions.key_id(f"{name}={forged}".encode(), is_secure=False) == "", forged

    for forged in (value[:-1], value + "0", value.replace(".", ""), "", ".", "..", f"{KEY_ID}.9.\xff"):
        assert sessions.key_id(f"{name}={forged}".encode("latin-1"), is_secure=False) == ""


def test_over_tls_the_cookie_belongs_to_this_host_alone(sessions: Sessions):
    """The prefix makes the browser insist on Secure and refuse one that a neighbouring host has set."""
    plain, over_tls = sessions.begin(KEY_ID, is_secure=False), sessions.begin(KEY_ID, is_secure=True)

    assert over_tls.startswith(f"{COOKIE_OVER_TLS}={KEY_ID}.")
    assert over_tls.endswith("; Path=/; Max-Age=28800; HttpOnly; SameSite=Strict; Secure")
    assert plain.startswith(f"{COOKIE}={KEY_ID}.")
    assert plain.endswith("; Path=/; Max-Age=28800; HttpOnly; SameSite=Strict")
    assert "Domain" not in plain + over_tls
    assert sessions.key_id(sent(plain), is_secure=True) == ""


def test_of_two_cookies_of_the_name_none_counts(sessions: Sessions):
    """One of them was slipped in by somebody else, and nobody can tell which."""
    own, other = (sent(sessions.begin(one, is_secure=False)) for one in (KEY_ID, "AAAAAAAAAAAA"))

    assert sessions.key_id(own + b"; " + other, is_secure=False) == ""
    assert sessions.key_id(own + b", " + other, is_secure=False) == ""


def test_a_cookie_header_too_long_is_not_looked_at(sessions: Sessions):
    """No browser sends one, and looking costs time."""
    own = sent(sessions.begin(KEY_ID, is_secure=False))

    assert sessions.key_id(own + b"; x=" + b"y" * 9_000, is_secure=False) == ""


def test_the_end_of_a_session_takes_the_cookie_away(sessions: Sessions):
    """The browser forgets it at once."""
    assert sessions.end(is_secure=False) == f"{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"
