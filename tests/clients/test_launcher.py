"""`./amos clients` where packages cannot be had: people are let go on without them, CI is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT, environment

pytestmark = pytest.mark.clients

UNOBTAINABLE = f"nothing-of-this-name==1.0 \\\n    --hash=sha256:{'0' * 64}\n"

START_S = 100


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone in which the clients cannot be installed, and all else is."""
    shutil.copy(ROOT / "amos", tmp_path)
    (tmp_path / "requirements-clients.lock").write_text(UNOBTAINABLE)
    (tmp_path / "requirements-dev.lock").touch()
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    checksum = subprocess.run(["cksum"], input="", capture_output=True, text=True, check=True).stdout
    python = os.environ.get("AMOS_PYTHON", "python3")
    (tmp_path / ".venv/amos-stamp").write_text(f"dev {'-'.join(checksum.split())} {python}\n")
    (tmp_path / "pytest.py").write_text("print('the tests would begin here')\n")
    return tmp_path


def start(clone: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """The verb, without a registry."""
    inherited = {name: value for name, value in os.environ.items() if name == "AMOS_PYTHON"}
    no_registry = {"PIP_NO_INDEX": "1", "UV_OFFLINE": "1", "UV_NO_INDEX": "1"}
    return subprocess.run(
        [clone / "amos", "clients"],
        env=environment({**inherited, **no_registry, **settings}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


def test_without_a_registry(clone: Path):
    """The failure is shown, nothing passes for installed, and the tests are run as far as they go."""
    done = start(clone)

    assert "the installation failed" in done.stderr
    assert not (clone / ".venv-clients/amos-stamp").exists()
    assert (done.returncode, done.stdout) == (0, "the tests would begin here\n")


def test_without_a_registry_in_ci(clone: Path):
    """The run ends there, so that no CI is green without having run the clients."""
    done = start(clone, CI="true")

    assert "the installation failed" in done.stderr
    assert (done.returncode, done.stdout) == (1, "")
