"""The templates: compiled by another process, and here only if that is of no help."""

from __future__ import annotations

import cProfile
import pstats
import time
from typing import TYPE_CHECKING

import pytest

from api.console.environment import FOLDER, compiled, environment

if TYPE_CHECKING:
    from pathlib import Path


def test_a_worker_compiles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What another process has compiled is read, and nothing of it is compiled again.

    That process runs our code, whatever lies in the folder that AMOS was started in.
    """
    (tmp_path / "api.py").touch()
    monkeypatch.chdir(tmp_path)
    known = compiled()
    with cProfile.Profile() as profile:
        environment(known)

    ran = {(file.rpartition("/")[2], name) for file, _, name in pstats.Stats(profile).stats}  # type: ignore[attr-defined]
    assert ("environment.py", "get_template") in ran
    assert ("compiler.py", "generate") not in ran
    assert ("parser.py", "parse") not in ran


@pytest.mark.parametrize(
    "program", ["#!/no/such/interpreter", "#!/bin/false", "#!/bin/echo", "#!/bin/sh\nexec sleep 30"]
)
def test_pages_are_there_without_the_other_process(tmp_path: Path, program: str):
    """One that cannot be started, fails, says something else or hangs costs time, and no page."""
    python = tmp_path / "python"
    python.write_text(program)
    python.chmod(0o755)

    begun = time.monotonic()
    known = compiled(str(python), within_s=0.2)
    took_s = time.monotonic() - begun

    assert (known, took_s < 10.0) == ({}, True)
    environment(known)
    assert len(known) == len(list(FOLDER.rglob("*.html")))
