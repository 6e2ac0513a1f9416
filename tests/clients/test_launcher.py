"""`./amos clients` where packages cannot be had: people are let go on without them, CI is not."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import ROOT, environment

pytestmark = pytest.mark.clients

UNOBTAINABLE = f"nothing-of-this-name==1.0 \\\n    --hash=sha256:{'0' * 64}\n"

START_S = 100


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone in which the clients cannot be installed, and developers need nothing."""
    shutil.copy(ROOT / "amos", tmp_path)
    (tmp_path / "requirements-dev.lock").touch()
    (tmp_path / "requirements-clients.lock").write_text(UNOBTAINABLE)
    return tmp_path


def start(clone: Path, **settings: str) -> str:
    """What the verb complains of, up to where the tests would begin; there is no pytest to run them."""
    no_registry = {"PIP_NO_INDEX": "1", "UV_OFFLINE": "1", "UV_NO_INDEX": "1"}
    asked_for = {name: value for name, value in os.environ.items() if name == "AMOS_PYTHON"}
    done = subprocess.run(
        [clone / "amos", "clients"],
        env=environment({**asked_for, **no_registry, **settings}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert done.returncode == 1
    return done.stderr


def test_without_a_registry(clone: Path):
    """The failure is shown, nothing passes for installed, and the tests of everything else are run."""
    complaint = start(clone)

    assert "the installation failed" in complaint
    assert not (clone / ".venv-clients/amos-stamp").exists()
    assert (clone / ".venv/amos-stamp").read_text().startswith("dev ")
    assert "No module named pytest" in complaint


def test_without_a_registry_in_ci(clone: Path):
    """The run ends there, so that no CI is green without having run the clients."""
    complaint = start(clone, CI="true")

    assert "the installation failed" in complaint
    assert not (clone / ".venv").exists()
