"""What an API key is: its form, its checksum, and what is kept of it."""

from __future__ import annotations

import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import api_keys
from orchestrator.api_keys import PATTERN, ApiKey, MalformedKey, generate, id_of
from orchestrator.errors import InvalidRequest
from orchestrator.key_admin import NewKey

PEPPER = b"p" * 32
BODY = f"amos_live_{'0aB' * 4}_{'z9Q' * 10}"
RAW = BODY + api_keys.checksum(BODY)
CHARACTERS = st.characters(min_codepoint=32, max_codepoint=0x2FFF)


def reason_of(text: str) -> str:
    """Why the text is refused, `""` if it is not."""
    try:
        id_of(text)
    except MalformedKey as fault:
        return fault.reason
    return ""


def test_a_new_key_has_the_published_form():
    """Prefix, twelve digits of id, thirty of secret and six of checksum, found by the published pattern."""
    raw = generate()

    assert re.findall(PATTERN, f"key = '{raw}', said the letter") == [raw]
    assert id_of(raw) == raw[10:22]
    assert len(raw) == len(RAW) == 59


def test_no_two_keys_are_alike():
    """Id and secret are random."""
    keys = [generate() for _ in range(1_000)]

    assert len({id_of(key) for key in keys}) == len({key[23:53] for key in keys}) == 1_000


def test_the_checksum_is_the_crc_of_everything_before_it():
    """Six base62 digits of CRC-32, as GitHub's tokens have: anybody can check a key without asking us."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    value = 0
    for digit in RAW[-6:]:
        value = value * 62 + digits.index(digit)

    assert value == zlib.crc32(RAW[:-6].encode())
    assert api_keys.checksum("") == "000000"


@given(place=st.integers(0, len(RAW) - 1), character=CHARACTERS)
def test_any_changed_character_is_noticed(place: int, character: str):
    """One wrong character anywhere makes it no key, found without any store."""
    changed = RAW[:place] + character + RAW[place + 1 :]

    assert (reason_of(changed) == "") == (changed == RAW)


@given(st.integers(0, len(RAW) - 1))
def test_a_cut_key_is_noticed(length: int):
    """A key of which only the beginning was copied is no key."""
    assert reason_of(RAW[:length]) == "malformed_key"


@given(st.text(max_size=80))
def test_any_text_is_refused(text: str):
    """Whatever is shown, the outcome is a reason, never another failure."""
    assert reason_of(text) in {"malformed_key", "bad_checksum"}


@pytest.mark.parametrize("text", [RAW + "\n", " " + RAW, RAW + "x", RAW.upper(), RAW.replace("_", "-")])
def test_only_the_exact_key_is_one(text: str):
    """Blanks and other spellings are not forgiven here; the door strips what a header may have around it."""
    assert reason_of(text) == "malformed_key"


def test_the_digest_depends_on_key_and_pepper():
    """What is kept is an HMAC-SHA-256, of no use without the pepper."""
    digest = api_keys.digest(PEPPER, RAW)

    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert digest == api_keys.digest(PEPPER, RAW)
    assert digest not in (api_keys.digest(b"q" * 32, RAW), api_keys.digest(PEPPER, generate()))


@pytest.mark.parametrize(
    ("expires_at", "revoked_at", "is_live"),
    [(None, None, True), (10.5, None, True), (10.0, None, False), (None, 3.0, False), (99.0, 9.0, False)],
)
def test_a_key_lives_until_it_expires_or_is_revoked(expires_at, revoked_at, is_live):
    """The moment of expiry itself is too late."""
    key = ApiKey(
        id="a" * 12, digest="", client="acme", scopes=("search",), created_at=1.0,
        expires_at=expires_at, revoked_at=revoked_at,
    )  # fmt: skip

    assert key.is_live(10.0) is is_live


def test_no_repr_shows_key_or_digest():
    """What ends in a log by accident opens nothing."""
    digest = api_keys.digest(PEPPER, RAW)
    key = ApiKey(id=id_of(RAW), digest=digest, client="acme", scopes=("search",), created_at=1.0)

    for text in (repr(key), str(key), repr(NewKey(RAW, key)), f"{NewKey(RAW, key)}"):
        assert digest not in text
        assert RAW not in text
        assert id_of(RAW) in text


@pytest.mark.parametrize("name", ["acme", "a", "team-7@example.org", "A.b_c", "x" * 64])
def test_names_of_clients(name: str):
    """Letters, digits and a few signs: a name that reads well in a report and needs no quoting."""
    assert api_keys.valid_client(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a b", "a\n", "ü", "x" * 65, "a,b", "local", "Local", RAW])
def test_what_is_no_name_of_a_client(name: str):
    """The local operator's name is taken, and nothing that could break a line or a list is a name."""
    with pytest.raises(InvalidRequest, match="client: "):
        api_keys.valid_client(name)


def test_scopes_are_known_and_in_order():
    """Each scope once, in one order, so that two keys that may do the same look the same."""
    assert api_keys.valid_scopes(["admin", "search", "admin"]) == ("search", "admin")
    for scopes in ([], ["sear"], ["search", ""]):
        with pytest.raises(InvalidRequest, match="scopes: "):
            api_keys.valid_scopes(scopes)
