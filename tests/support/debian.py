"""Prometheus, Alertmanager and their tools, which no package index has: those of the machine, or Debian's.

binary("promtool")      # the path of one that runs here; else the test is skipped, and in CI fails

Debian's packages are fetched and unpacked below .venv, once, without root and without installing anything.
"""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.npm import skip_but_not_in_ci

PACKAGES = ("prometheus", "prometheus-alertmanager")

NAMES = {
    "prometheus": ("prometheus",),
    "promtool": ("promtool",),
    "alertmanager": ("alertmanager", "prometheus-alertmanager"),
    "amtool": ("amtool",),
}
"""The programs, and what their files are called: Debian has one name of its own."""

FOLDER = Path(sys.prefix) / "debian"
"""Where they are unpacked: part of the environment that ./amos makes, and gone with it."""

FETCH_S = 60
"""chosen: for each of three steps, the largest of which are 20 MB; a test is given two minutes."""

TEMPLATES = b"/usr/share/prometheus/alertmanager"
"""Where Debian's Alertmanager looks for its templates, wherever it is unpacked."""


def binary(name: str) -> Path:
    """One of `NAMES`: as the variable of that name in capitals says, else as installed, else Debian's."""
    if named := os.environ.get(name.upper()):
        return Path(named)
    for called in NAMES[name]:
        if found := shutil.which(called):
            return Path(found)
    if complaint := fetched():
        skip_but_not_in_ci(f"{name} is not installed, and Debian's could not be fetched: {complaint}")
    return FOLDER / NAMES[name][-1]


@functools.cache  # who has no archive need not wait for it at every test
def fetched() -> str:
    """Unpack the packages, unless that has been done; what went wrong, `""` if nothing did."""
    if (FOLDER / "done").exists():
        return ""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return "this is no Debian"
    try:
        FOLDER.mkdir(exist_ok=True)
        lock = (FOLDER / "lock").open("w")
    except OSError as error:
        return f"{FOLDER} cannot be written: {error.strerror}"
    with lock as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # of several test processes one fetches
        if not (FOLDER / "done").exists():
            try:
                _unpack()
            except subprocess.TimeoutExpired:
                return f"it took more than {FETCH_S} s"
            except subprocess.CalledProcessError as error:
                return f"{error.cmd[0]}: {error.stderr.strip()[-300:]}"
            (FOLDER / "done").touch()
    return ""


def _unpack() -> None:
    work = FOLDER / "work"
    shutil.rmtree(work, ignore_errors=True)
    (work / "lists/partial").mkdir(parents=True)
    download = ["apt-get", "download", *PACKAGES]
    # As root apt would change to a user of its own, who may not write here.
    options = ["-o", "APT::Sandbox::User=root"]
    # A fresh machine has no lists of packages, and who is not root may not fetch those of the system.
    own = ["-o", f"Dir::State::lists={work / 'lists'}", "-o", f"Dir::Cache={work}"]
    if _run(work, *download, *options, check=False).returncode != 0:
        _run(work, "apt-get", "update", *options, *own)
        _run(work, *download, *options, *own)
    for package in work.glob("*.deb"):
        _run(work, "dpkg-deb", "-x", str(package), "root")
    for name in (names[-1] for names in NAMES.values()):
        shutil.move(work / "root/usr/bin" / name, FOLDER / name)
    shutil.copytree(work / f"root{TEMPLATES.decode()}", FOLDER / "templates", dirs_exist_ok=True)
    shutil.rmtree(work)
    look_beside(FOLDER / NAMES["alertmanager"][-1])


def look_beside(alertmanager: Path) -> None:
    """Make Alertmanager read its templates from `templates` in the folder where it is started.

    It has no option for that, and nobody but root can put them where it looks. The new path is as long as the
    old one, so nothing else in the file moves.
    """
    relative = b"./" + b"templates".rjust(len(TEMPLATES) - 2, b"/")
    alertmanager.write_bytes(alertmanager.read_bytes().replace(TEMPLATES, relative))


def _run(folder: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=FETCH_S, check=check,
    )  # fmt: skip
