"""docker-compose.yml as Compose itself understands it, and the programs that judge files."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.processes import ROOT

COMPOSE = ROOT / "docker-compose.yml"
PROFILES = ("ha", "ha-haproxy", "observability", "logs")


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the development environment."""
    program = Path(sysconfig.get_path("scripts")) / name
    return subprocess.run(
        [program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


@cache
def composed() -> dict[str, Any]:
    """docker-compose.yml as Compose understands it, all profiles on."""
    profiles = [word for profile in PROFILES for word in ("--profile", profile)]
    done = tool("docker-compose", "-f", str(COMPOSE), *profiles, "config", "--format", "json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def services() -> dict[str, dict[str, Any]]:
    """The services, by name."""
    found: dict[str, dict[str, Any]] = composed()["services"]
    return found
