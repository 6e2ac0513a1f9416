"""`--url`, and commands beside a running server; signals and pipes of the shell."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from typing import TYPE_CHECKING

from tests.support.simulator import Fault

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine
    from tests.support.tavily_simulator import TavilySimulator


def test_a_server_can_be_asked(amos: CommandLine, server: str):
    """--url asks a running server, and the answer has the same form as without."""
    there = amos.run("search", "circuit breaker", "--json", "--url", server)
    again = amos.run("search", "Circuit  Breaker", "--url", server)
    here = amos.run("search", "circuit breaker", "--json")

    assert there.exit_code == again.exit_code == here.exit_code == 0
    assert set(there.json) == set(here.json)
    assert set(there.json["amos"]) == set(here.json["amos"])
    assert there.json["results"] == here.json["results"]
    assert again.stdout.splitlines()[-1].startswith("why  local")


def test_server_and_command_share_one_record(amos: CommandLine, server: str):
    """A search beside a server is journalled by its own writer and ends up in the same database."""
    here = amos.run("search", "circuit breaker", "--json").json["amos"]["execution_id"]
    there = amos.run("search", "tide tables", "--json", "--url", server).json["amos"]["execution_id"]

    with amos.started("events", "tail", "-f", "--json", "--type", "request.completed") as tail:
        assert tail.stdout is not None
        streams = {json.loads(tail.stdout.readline())["stream"] for _ in range(2)}

    assert streams == {here, there}
    assert amos.run("events", "show", there, "--url", server, "--json").json["events"]
    assert amos.run("report", "health", "--url", server, "--json").json
    found = amos.run("executions", "--url", server, "--json").json["executions"]
    assert {one["execution_id"] for one in found} == streams


def test_no_server_is_a_sentence(amos: CommandLine):
    """An address where nobody listens fails with a sentence that says what to do."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        done = amos.run("search", "x y", "--url", f"http://127.0.0.1:{unused.getsockname()[1]}")

    assert done.exit_code == 1
    assert "Nothing answers at" in done.stderr
    assert "amos serve" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_a_waiting_search(amos: CommandLine):
    """While a server keeps us waiting, Ctrl-C ends the command with 130, silently."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with amos.started("search", "anything", "--url", address) as search:
            connection, _ = silent.accept()
            with connection:
                assert connection.recv(4)

                search.send_signal(signal.SIGINT)
                assert search.wait(30) == 130
                assert search.stdout is not None
                assert search.stderr is not None
                assert (search.stdout.read(), search.stderr.read()) == ("", "")


async def test_ctrl_c_loses_no_paid_call(amos: CommandLine, web: TavilySimulator):
    """When Ctrl-C comes while a provider works, the command says that it waits, and records the price."""
    web.always(Fault.delay(1.0))

    def interrupt() -> tuple[int, str]:
        with amos.started("search", "circuit breaker") as search:
            while not web.count:
                time.sleep(0.01)
            search.send_signal(signal.SIGINT)
            code = search.wait(30)
            assert search.stderr is not None
            return code, search.stderr.read()

    code, said = await asyncio.to_thread(interrupt)
    events = await asyncio.to_thread(amos.run, "events", "tail", "--json", "--type", "attempt.succeeded")

    assert code == 130
    assert "Ctrl-C again" in said
    assert "Traceback" not in said
    assert events.json["event"]["cost"]["amount"] == 1


def test_a_closed_pipe_is_no_error(amos: CommandLine):
    """When the reader of the pipe has gone (`| head`), the command ends quietly and successfully."""
    for format_ in ((), ("--json",)):
        with amos.started("search", "circuit breaker", *format_) as search:
            assert search.stdout is not None
            assert search.stderr is not None
            search.stdout.close()
            search.stdout = None

            assert search.stderr.read() == ""
            assert search.wait(30) == 0
