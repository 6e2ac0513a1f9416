"""A certificate that no client could use is a sentence at the start."""

from __future__ import annotations

import pytest

from api.tls import TlsFiles, check
from orchestrator.errors import SettingsError
from tests.support.certificates import make


def test_a_good_certificate_needs_no_word(tmp_path):
    """Nothing is said of what works and will for long."""
    assert check(make(tmp_path)) == ""


@pytest.mark.parametrize(
    ("days", "advice"), [(-1, "has expired"), (5.1, "expires in 5 days"), (13.9, "expires in 14 days")]
)
def test_an_end_that_has_come_or_is_near_is_said(tmp_path, days: float, advice: str):
    """The operator hears of it before the clients do."""
    assert advice in check(make(tmp_path, days=days))


def test_a_key_of_another_certificate_is_refused(tmp_path):
    """A mix-up is named as one."""
    ours, other = make(tmp_path / "ours"), make(tmp_path / "other")

    with pytest.raises(SettingsError, match="does not belong to the certificate"):
        check(TlsFiles(ours.cert, other.key))


def test_an_encrypted_key_is_refused(tmp_path):
    """Nobody sits at the terminal of a server to type its password."""
    with pytest.raises(SettingsError, match="the key is encrypted"):
        check(make(tmp_path, password="secret"))


@pytest.mark.parametrize(
    ("name", "words"), [("cert.pem", "holds no certificate"), ("key.pem", "no private key")]
)
@pytest.mark.parametrize(
    "content", ["", "rubbish", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_file_of_something_else_is_refused(tmp_path, name: str, words: str, content: str):
    """Which of the two files is wrong is said, and nothing of what it holds."""
    files = make(tmp_path)
    (tmp_path / name).write_text(content)

    with pytest.raises(SettingsError, match=words) as refused:
        check(files)

    assert "AAAA" not in refused.value.message


def test_a_file_that_is_gone_is_refused(tmp_path):
    """It was there when the settings were read, and is no longer."""
    files = make(tmp_path)
    files.key.unlink()

    with pytest.raises(SettingsError, match="cannot be read"):
        check(files)
