"""`amos doctor` on a machine in trouble: made for real, and named with what callers feel and what helps."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest

from api.cli import doctor_port
from api.cli.doctor_checks import check_journal, check_lock, check_recorder
from api.cli.doctor_finding import Finding, explained
from api.cli.doctor_record import check_clock, read_record
from api.settings import Settings
from orchestrator.cooldown import CircuitPolicy
from orchestrator.parts import Policies
from storage.file_status import RecorderStatus
from tests.support.command_line import InThisProcess
from tests.support.faults import Fault
from tests.support.gateway_server import serving
from tests.support.ports import free_port
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from pathlib import Path


def bad(amos: InThisProcess, *arguments: str, **environment: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit code, and what the doctor finds wrong, in its order."""
    done = amos.run("doctor", "--json", *arguments, **environment)
    found = json.loads(done.stdout)["findings"]
    wrong = [one for one in found if one["status"] in {"failure", "warning"}]
    assert all(one["effect"] for one in wrong)
    assert found[: len(wrong)] == wrong
    return done.exit_code, wrong


@pytest.fixture
def amos(tmp_path: Path) -> InThisProcess:
    """An empty installation without a server, on a port of its own."""
    return InThisProcess(tmp_path, {"AMOS_PORT": str(free_port()), "AMOS_LOCAL_PATHS": str(tmp_path)})


def test_without_a_database_it_says_what_goes_on(amos: InThisProcess):
    """A server that is away is the first line; the password in its address is not shown."""
    away = f"postgresql://amos:hunter2@127.0.0.1:{free_port()}/amos"
    code, wrong = bad(amos, AMOS_DATABASE_URL=away, AMOS_KEY_PEPPER="ab" * 32)

    assert (code, wrong[0]["name"], wrong[0]["status"]) == (1, "database", "failure")
    assert "hunter2" not in json.dumps(wrong)
    assert "AMOS_DATABASE_URL" in wrong[0]["next_step"]


def test_who_holds_the_lock_is_to_be_looked_for(amos: InThisProcess, tmp_path: Path):
    """A database that another program keeps locked is no database in order, and free it is one again."""
    amos.run("db", "upgrade")
    path = tmp_path / "var" / "amos.db"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    code, (wrong,) = bad(amos)
    holder.close()

    assert (code, wrong["name"]) == (1, "database")
    assert "locked" in wrong["detail"]
    assert f"fuser -v {path}" in wrong["next_step"]
    assert check_lock(path) == []


def test_a_port_of_another_program_keeps_from_starting(amos: InThisProcess, monkeypatch: pytest.MonkeyPatch):
    """Whoever listens there and is no AMOS is told of with the port."""
    monkeypatch.setattr(doctor_port, "PATIENCE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        code, (wrong,) = bad(amos, AMOS_PORT=port)

    assert (code, wrong["name"], wrong["effect"]) == (1, "port", "`amos serve` does not start.")
    assert port in wrong["next_step"]


def test_a_person_reads_the_worst_first(amos: InThisProcess):
    """The first line counts, what is wrong comes before what is well, and that is one line."""
    done = amos.run("doctor", AMOS_REDIS_URL=f"redis://127.0.0.1:{free_port()}")
    lines = done.stdout.splitlines()

    assert lines[0] == "1 failure, the worst first."
    assert lines[2].startswith("failure  redis: ")
    assert lines[3].startswith("         callers  Answers go on;")
    assert [line.split()[0] for line in lines[4:] if line] == ["next", "In", "Not"]
    assert "redis" not in lines[-2]


def test_nothing_wrong_is_said_in_the_first_line(amos: InThisProcess):
    """An installation in order is one line of what is well, and no server is not called sound."""
    done = amos.run("doctor")

    assert done.exit_code == 0
    assert done.stdout.startswith("Nothing is wrong.\n")
    assert "server (nothing listens at 127.0.0.1:" in done.stdout.splitlines()[-1]


def test_a_server_is_asked_from_here_or_there_but_not_both(amos: InThisProcess):
    """--online asks the providers of this machine; with --url it would mean nothing."""
    assert amos.run("doctor", "--online", "--url", "127.0.0.1:1").exit_code == 2


def test_a_journal_that_cannot_be_written_refuses_calls(tmp_path: Path):
    """Whatever stands in its place and takes no segments keeps every call from being answered."""
    (tmp_path / "journal").write_text("")

    assert (found := check_journal(tmp_path / "journal", 0, 1_000)).status == "failure"
    assert found.effect.startswith("No call is answered")


@pytest.mark.parametrize(("used", "status"), [(500, "ok"), (501, "warning"), (1_000, "failure")])
def test_a_journal_is_told_of_before_it_is_full(tmp_path: Path, used: int, status: str):
    """From the half on it is a warning, full a failure."""
    assert check_journal(tmp_path, used, 1_000).status == status


def test_a_recorder_that_fails_says_since_when():
    """What a running recorder says of itself is a failure; what one that has ended said may be mended."""
    said = RecorderStatus(
        pid=1, at=200.0, drained_at=0.0, backlog_bytes=9, frames=0, damaged=0, fault="no", since=100.0
    )
    running, ended = (
        check_recorder(said, 201.0, is_running=is_running, backlog_bytes=9, backlog_bytes_max=1_000)
        for is_running in (True, False)
    )

    assert (running.status, running.since) == ("failure", 100.0)
    assert (ended.status, ended.since) == ("warning", 200.0)


def test_a_recorder_that_is_stopped_is_not_called_sound():
    """One that holds its lock and has said nothing for half a minute stands still, since it last spoke."""
    sound = RecorderStatus(pid=7, at=100.0, drained_at=100.0, backlog_bytes=0, frames=0, damaged=0)
    soon, late = (
        check_recorder(sound, now, is_running=True, backlog_bytes=0, backlog_bytes_max=1_000)
        for now in (110.0, 140.0)
    )

    assert soon.status == "ok"
    assert (late.status, late.since) == ("warning", 100.0)
    assert " 7`" in late.next_step


def test_a_record_of_the_future_means_a_wrong_clock():
    """Seconds ahead are told, a rounding is not, and an empty log says nothing."""
    now = time.time()

    assert [one.name for one in check_clock(now + 60, now)] == ["clock"]
    assert check_clock(now + 1, now) == check_clock(None, now) == []


def test_what_fails_is_not_called_sound():
    """A provider that is configured and fails is in one finding, the bad one."""
    configured = Finding(name="provider tavily", status="ok", detail="configured")
    fails = Finding(name="provider tavily, last hour", status="warning", detail="5 of 5 calls failed")

    assert [one.name for one in explained([configured, fails])] == [fails.name]
    assert explained([configured]) == [configured]


async def test_the_record_tells_of_a_circuit_until_it_has_closed(tmp_path: Path):
    """Without a server too, an open circuit is named with its reason; a closed one is not."""
    policies = Policies(circuit=CircuitPolicy(cooldowns_s=(0.5,), jitter_ratio=0.0))
    async with TavilySimulator() as tavily, serving(tmp_path, tavily=tavily, policies=policies) as amos:
        tavily.always(Fault.status(500))
        for number in range(6):
            await amos.search(f"tide tables {number}")
        await amos.drain()
        opened = await read_record(Settings(data_dir=tmp_path))
        tavily.recover()
        await asyncio.sleep(0.5)
        found = await amos.search("tide tables again")
        await amos.drain()
        closed = await read_record(Settings(data_dir=tmp_path))

    (circuit,) = [one for one in opened.findings if one.name == "circuit tavily"]
    assert circuit.detail.startswith("open after http_500")
    assert 0 <= time.time() - circuit.since < 60
    assert found.json()["amos"]["provider"] == "tavily"
    assert not [one for one in closed.findings if one.name == "circuit tavily"]
