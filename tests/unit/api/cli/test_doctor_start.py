"""The doctor says before a start what the start would refuse, or warn of."""

from __future__ import annotations

import pytest

from api.cli.doctor_start import check_start
from api.settings import Settings
from orchestrator.api_keys import generate
from storage.sql_engine import sqlite_url
from tests.support.certificates import make


async def said(settings: Settings) -> dict[str, tuple[str, str]]:
    """Status and detail of each finding by its name; of several of one name the last."""
    return {finding.name: (finding.status, finding.detail) for finding in await check_start(settings)}


async def test_a_start_on_one_machine_has_no_doubts(tmp_path):
    """The defaults are fine, and looking makes nothing, no pepper either."""
    found = await said(Settings(data_dir=tmp_path))

    assert {name: status for name, (status, _) in found.items()} == {"start": "ok"}
    assert not list(tmp_path.iterdir())


async def test_an_open_door_is_a_failure(tmp_path):
    """An address that others reach, without keys and without TLS: both are told."""
    found = await check_start(Settings(data_dir=tmp_path, host="0.0.0.0"))

    assert [finding.status for finding in found] == ["failure", "failure"]
    assert "amos keys create --admin" in found[0].detail
    assert "AMOS_TLS_CERT_FILE" in found[1].detail
    assert not list(tmp_path.iterdir())


async def test_a_missing_pepper_is_a_failure(tmp_path):
    """A database that others may share needs the setting; with it nothing is said."""
    shared = sqlite_url(tmp_path / "other.db")

    assert "AMOS_KEY_PEPPER" in (await said(Settings(data_dir=tmp_path, database_url=shared)))["start"][1]
    given = await said(Settings(data_dir=tmp_path, database_url=shared, key_pepper="p" * 32))
    assert given["start"][0] == "ok"


@pytest.mark.parametrize("content", [None, "hunter2"])
async def test_a_file_without_a_first_key_is_a_failure(tmp_path, content):
    """Missing or holding something else; what it holds is not shown."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_text(content)

    status, detail = (await said(Settings(data_dir=tmp_path, bootstrap_admin_key_file=file)))["start"]

    assert status == "failure"
    assert "AMOS_BOOTSTRAP_ADMIN_KEY_FILE" in detail
    assert "hunter2" not in detail


async def test_a_file_with_a_first_key_is_enough(tmp_path):
    """Behind a proxy and with a key to come nothing forbids the start."""
    file = tmp_path / "secret"
    file.write_text(generate())
    settings = Settings(
        data_dir=tmp_path, host="0.0.0.0", trusted_proxies=("10.0.0.0/8",), bootstrap_admin_key_file=file
    )

    assert (await said(settings))["start"][0] == "ok"


@pytest.mark.parametrize(
    ("days", "status", "words"),
    [(90, "ok", "is valid"), (5, "warning", "expires in"), (-1, "warning", "has expired")],
)
async def test_the_certificate_is_looked_at(tmp_path, days, status, words):
    """One that has expired or soon will is a warning, as it is when the server starts."""
    files = make(tmp_path / "tls", days=days)

    found = await said(Settings(data_dir=tmp_path / "var", tls_cert_file=files.cert, tls_key_file=files.key))

    assert found["certificate"][0] == status
    assert words in found["certificate"][1]


async def test_a_certificate_without_its_key_is_a_failure(tmp_path):
    """Files that cannot work together stop the start, and the doctor says so."""
    one, other = make(tmp_path / "one"), make(tmp_path / "other")

    found = await said(Settings(data_dir=tmp_path, tls_cert_file=one.cert, tls_key_file=other.key))

    assert found["certificate"][0] == "failure"
    assert "does not belong" in found["certificate"][1]
