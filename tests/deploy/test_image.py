"""What the Dockerfile puts together runs, without an engine: its files alone, its environment, its commands.

The files that the last stage copies are copied to a folder, and `/app`, `/data` and `python` in its
instructions are read as that folder, an empty one, and the Python of the tests.
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import signal
import sys
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.processes import ROOT, STOP_S

START_S = 30.0


class Image:
    """The last stage of the Dockerfile, laid out below a folder."""

    def __init__(self, folder: Path) -> None:
        self.app, self.data = folder / "app", folder / "data"
        self.data.mkdir()
        self.port = free_port()
        text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
        self._lines = text[text.rindex("\nFROM ") :].splitlines()
        for words in self.instructions("COPY"):
            if words[0].startswith("--from"):
                continue
            *sources, target = words
            for source in sources:
                self._copy(ROOT / source, self.app / target / (source if target == "./" else ""))

    def instructions(self, name: str) -> list[list[str]]:
        """The words of every instruction of that name."""
        return [shlex.split(line)[1:] for line in self._lines if line.startswith(name + " ")]

    def command(self, name: str) -> list[str]:
        """The exec form of an instruction, `name` being all that stands before it."""
        line = next(line for line in self._lines if re.search(rf"\b{name} +\[", line))
        words: list[str] = json.loads(line[line.index("[") :])
        return [sys.executable if word == "python" else self._placed(word) for word in words]

    def environment(self) -> dict[str, str]:
        """The variables of ENV, and a free port."""
        pairs = dict(word.split("=", 1) for words in self.instructions("ENV") for word in words)
        return {
            **{name: self._placed(value) for name, value in pairs.items()},
            "PATH": "/usr/bin:/bin",
            "AMOS_PORT": str(self.port),
        }

    def files(self) -> dict[str, float]:
        """Every file of the application and when it was changed."""
        return {str(path): path.stat().st_mtime for path in self.app.rglob("*")}

    async def run(self, *command: str) -> asyncio.subprocess.Process:
        """Start a command as the container would."""
        return await asyncio.create_subprocess_exec(
            *command, cwd=self.data, env=self.environment(), stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip

    def _placed(self, word: str) -> str:
        word = re.sub(r"(^|:)/app", rf"\1{self.app}", word)
        return re.sub(r"^/data", str(self.data), word).replace(":8000/", f":{self.port}/")

    def _copy(self, source: Path, target: Path) -> None:
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """The image, not running."""
    return Image(tmp_path)


async def test_the_image_serves_and_writes_to_its_data_only(image: Image) -> None:
    """AMOS starts from the files of the image, its health check tells the truth, and /app stays as it was."""
    before = image.files()
    health = image.command("CMD")
    amos = await image.run(*image.command("ENTRYPOINT"), "serve")

    async def is_healthy() -> bool:
        check = await image.run(*health)
        await check.communicate()
        return check.returncode == 0

    try:
        assert not await is_healthy()
        async with asyncio.timeout(START_S):
            while not await is_healthy():
                assert amos.returncode is None
    finally:
        amos.send_signal(signal.SIGTERM)
        output, _ = await asyncio.wait_for(amos.communicate(), STOP_S)

    assert amos.returncode == 0, output.decode()
    assert not await is_healthy()
    assert (image.data / "amos.db").is_file()
    assert image.files() == before


async def test_the_image_serves_by_default(image: Image) -> None:
    """Without a command the container serves; it stops at SIGTERM and takes any other command of amos."""
    assert image.command("ENTRYPOINT")[1:] == ["-m", "api.cli"]
    assert image.instructions("CMD") == [["[serve]"]]
    assert image.instructions("STOPSIGNAL") == [["SIGTERM"]]
    assert image.instructions("USER") == [["10001:10001"]]

    help_ = await image.run(*image.command("ENTRYPOINT"), "--help")
    output, _ = await asyncio.wait_for(help_.communicate(), STOP_S)

    assert help_.returncode == 0
    assert b"serve" in output


def test_nothing_else_gets_into_the_context() -> None:
    """.dockerignore lets in what the Dockerfile copies and nothing else: no key, no journal, no checkout."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = {line[1:] for line in lines if line.startswith("!")}
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = {
        word
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for word in line.split()[:-1]
    }

    assert lines[1] == "*"
    assert let_in == copied
    assert all((ROOT / name).exists() for name in copied)


async def test_the_command_line_of_the_image_can_ask_a_server(image: Image) -> None:
    """What `--url` needs is found: the client lies in a folder of its own."""
    done = await image.run(sys.executable, "-c", "import amos_sdk; print(amos_sdk.__file__)")
    said, _ = await done.communicate()

    assert (done.returncode, str(image.app) in said.decode()) == (0, True)
