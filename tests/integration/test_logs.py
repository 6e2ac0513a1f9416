"""The log of `amos serve` as processes: a line for each execution, in ECS, whatever ends a process."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from storage.file_reader import BATCH_RECORDS
from tests.support import ecs
from tests.support.faults import Fault
from tests.support.processes import ROOT, AmosProcesses, environment, until

if TYPE_CHECKING:
    from tests.support.tavily_simulator import TavilySimulator

WAIT_S = 20.0


def settings(tavily: TavilySimulator, file: Path, **more: str) -> dict[str, str]:
    """`amos serve` with a simulated Tavily and a log file."""
    return {
        "AMOS_LOG_FILE": str(file),
        "AMOS_PROVIDERS": "tavily",
        "TAVILY_API_KEY": tavily.api_key,
        "AMOS_TAVILY_BASE_URL": tavily.base_url,
        **more,
    }


def lines_of(file: Path) -> list[bytes]:
    """The lines of a log, and of what was rotated from it."""
    files = [*sorted(file.parent.glob(f"{file.name}.[0-9]"), reverse=True), file]
    return [line for one in files if one.exists() for line in one.read_bytes().splitlines(keepends=True)]


def of_executions(lines: list[bytes]) -> list[dict[str, Any]]:
    """The fields of those that are of executions."""
    read = [ecs.read(line) for line in lines]
    return [fields for fields in read if fields["log.logger"] == "amos.execution"]


def ids_of(file: Path) -> list[str]:
    """The executions that have a line, in order."""
    return [fields["event.id"] for fields in of_executions(lines_of(file))]


class Burst:
    """Clients that ask at once; `answered` are the executions of what they were told."""

    def __init__(self, amos: AmosProcesses) -> None:
        self._amos = amos
        self.answered: list[str] = []

    async def run(self, count: int, clients: int = 8) -> None:
        """So many questions of each client; half of them were asked before."""
        await asyncio.gather(*(self._client(number, count) for number in range(clients)))

    async def _client(self, number: int, count: int) -> None:
        async with httpx.AsyncClient(base_url=self._amos.base_url, timeout=WAIT_S, trust_env=False) as asking:
            for turn in range(count):
                answer = await asking.post("/search", json={"query": f"tide tables {number} {turn // 2}"})
                if answer.status_code == 200:
                    self.answered.append(answer.json()["amos"]["execution_id"])


async def test_every_call_has_a_line_in_file_and_on_standard_error(tmp_path: Path, tavily):
    """Answered, from the cache, failed: ECS, with what is asked of a line, and the same in both places."""
    file = tmp_path / "logs" / "amos.log"
    async with AmosProcesses(tmp_path / "var", settings(tavily, file)) as amos:
        async with httpx.AsyncClient(base_url=amos.base_url, timeout=WAIT_S, trust_env=False) as client:
            trace = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
            miss = await client.post("/search", json={"query": "canaryquery one"}, headers=trace)
            hit = await client.post("/search", json={"query": "canaryquery one"})
            tavily.always(Fault.status(401))
            failed = await client.post("/search", json={"query": "canaryquery two"})
        assert (miss.status_code, hit.status_code, failed.status_code) == (200, 200, 503)
        assert await amos.stop() == 0
        console = [line.encode() + b"\n" for line in amos.log.splitlines() if line.startswith("{")]

    lines = lines_of(file)
    assert [fault for line in lines for fault in ecs.faults(line)] == []
    assert Counter(lines) == Counter(console)
    first, second, third = of_executions(lines)
    assert first["event.id"] == miss.json()["amos"]["execution_id"]
    assert (first["trace.id"], first["amos.provider"], first["amos.cost.unit"]) == (
        "ab" * 16,
        "tavily",
        "credits",
    )
    assert (second["amos.cache"], second["event.outcome"], second["log.level"]) == ("l1", "success", "info")
    assert (third["event.outcome"], third["log.level"], third["error.code"]) == (
        "failure",
        "error",
        "all_providers_failed",
    )
    assert third["http.response.status_code"] == 503
    text = b"".join(lines)
    assert not any(secret in text for secret in (b"canaryquery", tavily.api_key.encode(), b"127.0.0.1"))
    actions = [fields.get("event.action") for fields in map(ecs.read, lines)]
    assert (actions[0], actions[-1]) == ("instance.started", "instance.stopped")


async def test_no_answer_is_without_its_line(tmp_path: Path, tavily):
    """Two workers under a burst, the recorder killed in it (`kill -9`), SIGTERM at its end.

    What was under way when the recorder was killed may have its line twice; each worker's are in order.
    """
    file = tmp_path / "amos.log"
    more = {"AMOS_WORKERS": "2", "AMOS_REDIS_URL": "redis://127.0.0.1:1"}
    async with AmosProcesses(tmp_path / "var", settings(tavily, file, **more)) as amos:
        burst = Burst(amos)
        await burst.run(20)
        settled = len(burst.answered)
        await until(lambda: len(ids_of(file)) == settled, WAIT_S, lambda: amos.log)
        running = asyncio.create_task(burst.run(40))
        await until(lambda: len(burst.answered) > settled + 60, WAIT_S, lambda: amos.log)
        amos.signal("recorder", signal.SIGKILL)
        await running
        assert await amos.stop() == 0

    found = of_executions(lines_of(file))
    counts = Counter(fields["event.id"] for fields in found)
    assert counts.keys() == set(burst.answered)
    assert max(counts.values()) <= 2
    assert [counts[execution_id] for execution_id in burst.answered[:settled]] == [1] * settled
    assert sum(counts.values()) - len(counts) <= BATCH_RECORDS
    assert len({fields["service.node.name"] for fields in found}) == 2
    assert [fault for line in lines_of(file) for fault in ecs.faults(line)] == []


BEGIN = """
import logging, os, sys
from api.logs.configure import configure_logging
from api.settings import load
configure_logging(load())
log = logging.getLogger("amos.test")
"""


def logged_by(program: str, **pipes: Any) -> subprocess.Popen[bytes]:
    """A process that sets up the log as all do, and then runs this."""
    more = pipes.pop("env", {})
    command = [sys.executable, "-c", BEGIN + program]
    return subprocess.Popen(command, cwd=ROOT, env=environment(more), stdin=subprocess.DEVNULL, **pipes)


def test_what_ends_a_process_is_a_line_too(tmp_path: Path):
    """Faults that nobody caught, warnings of libraries, and errors of their loggers, in the same format."""
    program = (
        "import warnings\nwarnings.warn('old thing')\nlogging.getLogger('lib').error('x %s', 1)\n"
        "logging.getLogger('mcp.server').warning('what clients of MCP do wrong')\n"
    )
    process = logged_by(program + "raise KeyError('canary')", stderr=subprocess.PIPE)
    _, told = process.communicate(timeout=WAIT_S)

    lines = told.splitlines(keepends=True)
    assert [fault for line in lines for fault in ecs.faults(line)] == []
    assert [ecs.read(line)["log.logger"] for line in lines] == ["py.warnings", "lib", "amos"]
    assert ecs.read(lines[2])["error.type"] == "KeyError"
    assert b"canary" not in told
    assert process.returncode == 1


@pytest.mark.parametrize(("no_color", "is_coloured"), [("", True), ("1", False)])
def test_a_terminal_shows_text(no_color, is_coloured):
    """In colour, unless that is not wanted."""
    here, there = pty.openpty()
    with logged_by(
        "log.error('it broke')", stderr=there, env={"NO_COLOR": no_color, "TERM": "xterm"}
    ) as process:
        os.close(there)
        assert select.select([here], [], [], WAIT_S)[0]
        line = os.read(here, 4_096).decode()
    os.close(here)

    assert "amos.test[" in line
    assert "] it broke" in line
    assert ("\x1b[31mERROR" in line) == is_coloured
    assert process.returncode == 0


def test_the_journal_of_systemd_is_given_priorities(tmp_path: Path):
    """It is known by the number of its stream; a variable that another process has left means nothing."""
    with (tmp_path / "journal").open("wb") as journal, (tmp_path / "other").open("wb") as other:
        found = os.fstat(journal.fileno())
        env = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        for place in (journal, other):
            assert logged_by("log.warning('look')", stderr=place, env=env).wait(WAIT_S) == 0

    assert (tmp_path / "journal").read_text().startswith("<4>WARNING amos.test[")
    assert json.loads((tmp_path / "other").read_text())["message"] == "look"


def test_nobody_reads_standard_error_and_the_disk_is_full(tmp_path: Path):
    """A process that can log nowhere works on; what is there when the disk is full are whole lines."""
    file = tmp_path / "amos.log"
    program = (
        "import resource, time\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, resource.RLIM_INFINITY))\n"
        "for number in range(300): log.error('line %d', number); time.sleep(0.001)\n"
        "os._exit(0 if number == 299 else 9)"
    )
    reader, writer = os.pipe()
    os.close(reader)
    process = logged_by(program, stderr=writer, env={"AMOS_LOG_FILE": str(file)})
    os.close(writer)

    assert process.wait(WAIT_S) == 0
    lines = lines_of(file)
    assert 10 < len(lines) < 30
    assert [fault for line in lines for fault in ecs.faults(line)] == []


def test_a_closed_standard_error_is_no_other_file(tmp_path: Path):
    """What is opened next would have its number, and be written into: a journal, a database, a socket."""
    other = tmp_path / "other"
    program = (
        f"other = open({str(other)!r}, 'wb')\n"
        "log.error('line')\n"
        "logging.shutdown()\n"
        "os._exit(0 if other.fileno() > 2 else 9)"
    )
    command = ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-c", BEGIN + program]
    process = subprocess.run(command, cwd=ROOT, env=environment({}), timeout=WAIT_S, check=False)

    assert other.read_bytes() == b""
    assert process.returncode == 0
