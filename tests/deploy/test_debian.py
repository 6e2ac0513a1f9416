"""Where the tests find Prometheus and Alertmanager, and what they say where there is none."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import debian


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine without Prometheus, whose only programs are those that a test puts into the folder."""
    for name in (*map(str.upper, debian.NAMES), "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(debian, "FOLDER", tmp_path / "debian")
    debian.fetched.cache_clear()
    (tmp_path / "bin").mkdir()
    yield tmp_path / "bin"
    debian.fetched.cache_clear()


def put(folder: Path, name: str, script: str) -> Path:
    """A program that is a line of shell."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_a_named_program_comes_first(machine: Path, monkeypatch: pytest.MonkeyPatch):
    """The variable wins over what is installed, and that over what could be fetched."""
    installed = put(machine, "prometheus-alertmanager", "true")
    assert debian.binary("alertmanager") == installed

    monkeypatch.setenv("ALERTMANAGER", "/opt/alertmanager")

    assert debian.binary("alertmanager") == Path("/opt/alertmanager")


def test_without_debian_the_test_is_skipped(machine: Path):
    """Who has no apt is told so, and what is missing."""
    with pytest.raises(pytest.skip.Exception, match=r"promtool is not installed.*this is no Debian"):
        debian.binary("promtool")


def test_in_ci_it_must_be_there(machine: Path, monkeypatch: pytest.MonkeyPatch):
    """There nothing is left out in silence."""
    monkeypatch.setenv("CI", "1")

    with pytest.raises(pytest.fail.Exception, match="promtool is not installed"):
        debian.binary("promtool")


def test_an_archive_out_of_reach_is_told_in_its_own_words(machine: Path):
    """What apt-get complains of is the reason, and the next attempt begins anew."""
    put(machine, "dpkg-deb", "true")
    put(machine, "apt-get", 'echo "E: could not resolve deb.debian.org" >&2; exit 100')

    with pytest.raises(pytest.skip.Exception, match=r"apt-get: E: could not resolve deb\.debian\.org"):
        debian.binary("promtool")

    assert not (debian.FOLDER / "done").exists()


def test_an_archive_that_hangs_is_given_up(machine: Path, monkeypatch: pytest.MonkeyPatch):
    """Nobody waits for it for ever."""
    put(machine, "dpkg-deb", "true")
    put(machine, "apt-get", "exec /bin/sleep 30")
    monkeypatch.setattr(debian, "FETCH_S", 0.2)

    with pytest.raises(pytest.skip.Exception, match=r"took more than 0\.2 s"):
        debian.binary("promtool")


def test_a_place_that_cannot_be_written_is_told(machine: Path, monkeypatch: pytest.MonkeyPatch):
    """An environment that somebody else owns is a reason as well, and no fault of the test."""
    put(machine, "dpkg-deb", "true")
    put(machine, "apt-get", "true")
    monkeypatch.setattr(debian, "FOLDER", machine / "apt-get" / "debian")

    with pytest.raises(pytest.skip.Exception, match="cannot be written: Not a directory"):
        debian.binary("promtool")


def test_what_was_fetched_is_only_read(machine: Path):
    """Nothing is written where it is, and no apt is needed: the folder may be another user's."""
    debian.FOLDER.mkdir()
    (debian.FOLDER / "done").touch()
    (debian.FOLDER / "lock").mkdir()

    assert debian.binary("promtool") == debian.FOLDER / "promtool"


def test_the_copy_of_alertmanager_looks_beside_itself(tmp_path: Path):
    """The path in the program is replaced by a relative one of the same length, wherever it stands."""
    program = tmp_path / "alertmanager"
    program.write_bytes(b"\0" + debian.TEMPLATES + b"/default.tmpl\0" + debian.TEMPLATES + b"\0")
    size = program.stat().st_size

    debian.look_beside(program)

    found = program.read_bytes()
    assert len(found) == size
    assert debian.TEMPLATES not in found
    relative = found.split(b"\0")[2].decode()
    assert Path(relative) == Path("templates")
