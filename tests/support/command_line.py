"""The real command on a data folder of its own, in a process of its own or, for less, in that of the test."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from unittest.mock import patch

from typing_extensions import override

from api.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent.parent

PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "COVERAGE_PROCESS_START")
"""The variables of the test's own environment that a command sees; everything else is set by the test."""

TIMEOUT_S = 60


@dataclass(frozen=True)
class Result:
    """How a command ended and what it wrote."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON value."""
        return json.loads(self.stdout)

    @property
    def json_lines(self) -> list[Any]:
        """Standard output as one JSON value a line."""
        return [json.loads(line) for line in self.stdout.splitlines()]


@dataclass
class CommandLine:
    """Runs `amos` in `folder`, where there is no `.env`, with `environment` and little else."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def whole_environment(self) -> dict[str, str]:
        """What the command sees."""
        inherited = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        return {
            **inherited,
            "PYTHONPATH": f"{ROOT}:{ROOT}/api/sdk",
            "PYTHONSAFEPATH": "1",
            **self.environment,
        }

    def run(self, *arguments: str, stdin: str = "", **environment: str) -> Result:
        """Run to the end, with pipes; fails the test if that takes longer than `TIMEOUT_S`."""
        done = subprocess.run(
            [sys.executable, "-m", "api.cli", *arguments],
            cwd=self.folder,
            env={**self.whole_environment, **environment},
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=TIMEOUT_S,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def run_on_terminal(self, *arguments: str, **environment: str) -> str:
        """Run to the end with a terminal 100 columns wide as standard output; what appeared there."""
        ours, theirs = pty.openpty()
        with os.fdopen(ours, "rb", buffering=0) as screen:
            process = subprocess.Popen(
                [sys.executable, "-m", "api.cli", *arguments],
                cwd=self.folder,
                env={**self.whole_environment, "TERM": "xterm-256color", "COLUMNS": "100", **environment},
                stdin=subprocess.DEVNULL,
                stdout=theirs,
                stderr=subprocess.DEVNULL,
            )
            os.close(theirs)
            shown = b"".join(until_hung_up(screen))
            process.wait(TIMEOUT_S)
        return shown.decode()

    @contextmanager
    def started(self, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        """A command that goes on running; ended, by force if need be, with the context."""
        process = subprocess.Popen(
            [sys.executable, "-m", "api.cli", *arguments],
            cwd=self.folder,
            env={**self.whole_environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        with process:
            try:
                yield process
            finally:
                process.terminate()
                try:
                    process.communicate(timeout=TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise


class InThisProcess(CommandLine):
    """Runs to the end in this process: one of its own costs a second each. Everything else is as above.

    Not within a running event loop, and not to serve, which sets up the log of its process.
    """

    @property
    def apart(self) -> CommandLine:
        """The same in a process of its own."""
        return CommandLine(self.folder, self.environment)

    @override
    def run(self, *arguments: str, stdin: str = "", **environment: str) -> Result:
        """Run to the end, with files in place of pipes."""
        given = io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8")
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        with (
            patch.dict(os.environ, {**self.whole_environment, **environment}, clear=True),
            patch.object(sys, "stdin", given),
            chdir(self.folder),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            exit_code = main(arguments)
        return Result(exit_code, *(_written(stream) for stream in (out, err)))


def _written(stream: io.TextIOWrapper) -> str:
    """What is in it, as a pipe in text mode would give it."""
    stream.seek(0)
    return stream.read()


def until_hung_up(screen: IO[bytes]) -> Iterator[bytes]:
    """What appears on a terminal until the last program there has ended."""
    while True:
        try:
            chunk = screen.read(65_536)
        except OSError:  # how Linux says that the other side of a terminal is closed
            return
        if not chunk:
            return
        yield chunk
