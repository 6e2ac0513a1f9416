"""A client of somebody else in a process of its own: it has its own packages, and its warnings fail no test.

The process lives as long as its tests, because importing such a client takes longer than using it; when that
is done it writes an empty line. It is asked with one line of JSON, `{"call": …, "arguments": {…}}`, and
answers with one: `{"value": …}`, or `{"error": {"type": …, "message": …}}` if the client has raised. In
Python foreign_side.py does that.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from tests.support.npm import skip_but_not_in_ci
from tests.support.processes import ROOT, environment

PYTHON = ROOT / ".venv-clients/bin/python"

START_S = 300.0
"""Of the import, mostly: that of LiteLLM takes six seconds of a core that nobody else wants."""

ANSWER_S = 60.0

LINE_BYTES_MAX = 16 * 1024 * 1024
"""chosen: more than any answer of ours."""


class ClientError(Exception):
    """What the client has raised: the name of the class and the message, as "Type: message"."""


class ForeignClient:
    """A running client, asked one thing at a time. An async context manager."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._command = command
        self._log = log

    async def __aenter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                cwd=ROOT,
                env=environment(
                    {
                        "HOME": str(self._log.parent),  # no settings of a developer there
                        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # otherwise the import asks the internet
                        "NO_PROXY": "127.0.0.1",
                    }
                ),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=LINE_BYTES_MAX,
            )
        await self._line(START_S)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._end()

    @property
    def is_running(self) -> bool:
        """Whether it can be asked."""
        return self._process.returncode is None

    async def ask(self, call: str, **arguments: Any) -> Any:
        """What the client returned. Raises ClientError if it raised, TimeoutError if it does not answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps({'call': call, 'arguments': arguments})}\n".encode())
        answer = json.loads(await self._line(ANSWER_S))
        if "error" in answer:
            raise ClientError("{type}: {message}".format(**answer["error"]))
        return answer["value"]

    async def _line(self, within_s: float) -> bytes:
        """The next line that it writes. Who is not heard out is ended: it would stay a line behind."""
        assert self._process.stdout is not None
        line = b""
        try:
            async with asyncio.timeout(within_s):
                line = await self._process.stdout.readline()
        finally:
            if not line:
                await self._end()
        assert line, f"the client is gone:\n{self._log.read_text(errors='replace')[-3000:]}"
        return line

    async def _end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


def require_client_packages() -> None:
    """End the test if `./amos clients` has not made the environment of the clients in Python."""
    if not (PYTHON.parent.parent / "amos-stamp").exists():
        skip_but_not_in_ci("there is no .venv-clients; ./amos clients makes it")
