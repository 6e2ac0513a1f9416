"""A server that others reach starts only with keys, and with TLS or a declared proxy."""

from __future__ import annotations

import pytest

from api.keys import key_admin, pepper
from api.safe_start import make_safe
from api.settings import Settings
from orchestrator.api_keys import SCOPES, generate, id_of
from orchestrator.errors import SettingsError
from orchestrator.key_admin import KeyWish
from storage.sql_engine import sqlite_url

PROXY = ("10.0.0.0/8",)


async def refusal(settings: Settings) -> str:
    """Why the start is refused, `""` if it is not."""
    try:
        await make_safe(settings)
    except SettingsError as error:
        return error.message
    return ""


async def test_other_machines_need_keys_and_a_closed_way(tmp_path):
    """Both faults are told at once, each with what to do."""
    said = await refusal(Settings(data_dir=tmp_path, host="0.0.0.0"))

    for words in ("amos keys create --admin", "AMOS_BOOTSTRAP_ADMIN_KEY_FILE", "AMOS_TLS_CERT_FILE",
                  "AMOS_TRUSTED_PROXIES", "AMOS_HOST=127.0.0.1"):  # fmt: skip
        assert words in said


@pytest.mark.parametrize("way", ["proxy", "tls"])
async def test_with_a_key_and_a_closed_way_it_starts(tmp_path, way):
    """A proxy or TLS is enough."""
    (tmp_path / "pem").write_text("both are only looked for here")
    tls = {"tls_cert_file": tmp_path / "pem", "tls_key_file": tmp_path / "pem"}
    closed = tls if way == "tls" else {"trusted_proxies": PROXY}
    async with key_admin(Settings(data_dir=tmp_path)) as admin:
        await admin.create(KeyWish(client="acme"), by="test")

    assert await refusal(Settings(data_dir=tmp_path, host="::", **closed)) == ""
    open_ = await refusal(Settings(data_dir=tmp_path, host="0.0.0.0"))
    assert "there is no API key" not in open_
    assert "read on the way" in open_


async def test_without_a_key_a_closed_way_is_not_enough(tmp_path):
    """A proxy alone tells nobody from a stranger."""
    said = await refusal(Settings(data_dir=tmp_path, host="0.0.0.0", trusted_proxies=PROXY))

    assert "there is no API key" in said
    assert "read on the way" not in said


async def test_the_first_admin_key_comes_from_a_file(tmp_path):
    """A container's secret file makes the first key, once, however often and however many start."""
    raw, file = generate(), tmp_path / "secret"
    file.write_text(raw + "\n")
    settings = Settings(
        data_dir=tmp_path / "var", host="0.0.0.0", trusted_proxies=PROXY, bootstrap_admin_key_file=file
    )

    assert [await refusal(settings) for _ in range(2)] == ["", ""]

    async with key_admin(settings) as admin:
        (key,) = await admin.list()
    assert (key.id, key.client, key.scopes) == (id_of(raw), "admin", SCOPES)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        ("", "not an API key"),
        ("amos_live_x", "not an API key"),
        ("x" * 5_000, "not an API key"),
    ],
)
async def test_a_file_without_a_key_stops_the_start(tmp_path, content, words):
    """The sentence names the setting and how to make the file, and repeats nothing of what is in it."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_text(content)

    said = await refusal(Settings(data_dir=tmp_path / "var", bootstrap_admin_key_file=file))

    assert said.startswith("AMOS_BOOTSTRAP_ADMIN_KEY_FILE: ")
    assert words in said
    assert "amos keys generate" in said
    assert "amos_live_" not in said


def test_a_database_of_ones_own_needs_a_pepper(tmp_path):
    """What several machines may share cannot take a file of one; the sentence says how to make it."""
    elsewhere = Settings(data_dir=tmp_path, database_url=sqlite_url(tmp_path / "other.db"))

    with pytest.raises(SettingsError, match=r"AMOS_KEY_PEPPER.*openssl rand"):
        pepper(elsewhere)
    given = Settings(data_dir=tmp_path, database_url=sqlite_url(tmp_path / "other.db"), key_pepper="p" * 32)
    assert pepper(given) == b"p" * 32
    assert not list(tmp_path.iterdir())


def test_a_damaged_pepper_stops_the_start(tmp_path):
    """Nobody's key would be known; a person has to decide."""
    (tmp_path / "key_pepper").write_text("oops")

    with pytest.raises(SettingsError, match="damaged"):
        pepper(Settings(data_dir=tmp_path))
