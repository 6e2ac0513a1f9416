"""The command line as a user has it: a process, a data folder, folders to search, and nothing simulated."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import CommandLine
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

HOSTILE_TITLE = "Owned \x1b]0;pwned\x07\x1b[2J\u202egnp.exe"

PAGES = {
    "breaker.md": "# Circuit breaker\n\nA circuit breaker stops calling a provider that keeps failing.\n",
    "tides.txt": "Tide tables of the harbour museum.\n\nHigh water is at 06:40 and 19:05.\n",
    "hostile.md": f"# {HOSTILE_TITLE}\n\nA hostile passage about kraken \x1b[31m sightings.\n",
}


@pytest.fixture
def amos(tmp_path: Path) -> CommandLine:
    """A command line whose local provider searches `PAGES`, and whose data folder is still empty."""
    pages = tmp_path / "pages"
    pages.mkdir()
    for name, text in PAGES.items():
        (pages / name).write_text(text, encoding="utf-8")
    return CommandLine(tmp_path, {"AMOS_DATA_DIR": str(tmp_path / "var"), "AMOS_LOCAL_PATHS": str(pages)})


@pytest.fixture
def server(amos: CommandLine) -> Iterator[str]:
    """The address of `amos serve` on the same data folder."""
    with amos.started("serve", "--port", "0") as process:
        assert process.stdout is not None
        ready = re.search(r"http://\S+", process.stdout.readline())
        assert ready is not None
        yield ready[0]


# --- search -------------------------------------------------------------------------------------------------


def test_a_search_prints_results_and_why(amos: CommandLine):
    """Without a key, a server or a setup step, a search finds a page of the folder and says who found it."""
    done = amos.run("search", "circuit", "breaker")

    assert done.exit_code == 0
    assert " 1  " in done.stdout
    assert "breaker.md" in done.stdout
    assert "stops calling a provider" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("why  local")
    assert "Traceback" not in done.stderr


def test_json_is_tavilys_format(amos: CommandLine):
    """--json prints one object: Tavily's members and ours, on a single line."""
    done = amos.run("search", "tide tables", "--json", "-n", "3")

    assert done.exit_code == 0
    assert done.stdout.count("\n") == 1
    assert {"query", "answer", "images", "results", "response_time", "request_id", "amos"} <= set(done.json)
    assert done.json["query"] == "tide tables"
    assert done.json["results"][0]["url"].startswith("file:///")
    assert done.json["amos"]["provider"] == "local"
    assert len(done.json["results"]) <= 3


def test_each_line_of_stdin_is_a_search(amos: CommandLine):
    """A dash searches every line; answers come in the order of the lines, one JSON object a line."""
    done = amos.run("search", "-", "--json", stdin="circuit breaker\n\ntide tables\n")

    assert done.exit_code == 0
    assert [line["query"] for line in done.json_lines] == ["circuit breaker", "tide tables"]


def test_a_bad_line_does_not_stop_the_others(amos: CommandLine):
    """Of several searches a refused one is a line with its error; the rest is answered, the code tells."""
    done = amos.run("search", "-", "--json", stdin=f"circuit breaker\n{'x' * 401}\ntide tables\n")

    first, refused, last = done.json_lines
    assert done.exit_code == 2
    assert first["results"]
    assert "400" in refused["detail"]["error"]
    assert last["results"]
    assert "Error: " in done.stderr


def test_a_pipe_gets_no_escape_sequence(amos: CommandLine):
    """Into a pipe there is no colour and no link, and a long passage stays on one line."""
    done = amos.run("search", "circuit breaker")

    assert "\x1b" not in done.stdout + done.stderr


def test_a_terminal_gets_colour_and_links(amos: CommandLine):
    """On a terminal the title is emphasised and the address can be clicked."""
    shown = amos.run_on_terminal("search", "circuit breaker")

    assert "\x1b[1m" in shown
    assert "\x1b]8;" in shown


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_a_user_can_refuse_colour(amos: CommandLine, environment: dict[str, str]):
    """With NO_COLOR or on a dumb terminal there is no colour."""
    shown = amos.run_on_terminal("search", "circuit breaker", **environment)

    assert re.search(r"\x1b\[[0-9;]*3[0-7]", shown) is None
    assert environment != {"TERM": "dumb"} or "\x1b" not in shown


def test_a_hostile_page_cannot_command_the_terminal(amos: CommandLine):
    """Nothing of a page's title or text reaches the terminal as a command or reverses its direction."""
    shown = amos.run_on_terminal("search", "kraken sightings")

    assert "kraken" in shown
    assert "\x1b]0;" not in shown
    assert "\x1b[2J" not in shown
    assert "\x1b[31m sightings" not in shown
    assert not {"\x07", "\u202e"} & set(shown)


def test_json_on_a_terminal_is_harmless_json(amos: CommandLine):
    """On a terminal JSON is indented, and still JSON, without characters that a terminal obeys."""
    shown = amos.run_on_terminal("search", "kraken sightings", "--json")

    assert json.loads(shown)["results"]
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)


# --- extract ------------------------------------------------------------------------------------------------


@pytest.fixture
async def web(amos: CommandLine) -> AsyncIterator[TavilySimulator]:
    """A simulated Tavily that the command line is configured for."""
    async with TavilySimulator() as tavily:
        amos.environment |= {"TAVILY_API_KEY": tavily.api_key, "AMOS_TAVILY_BASE_URL": tavily.base_url}
        yield tavily


async def test_extract_prints_pages(amos: CommandLine, web: TavilySimulator):
    """Pages are printed with their text for people, in Tavily's format with --json; stdin gives URLs."""
    url = "https://almanac.example/tides"

    pretty = await asyncio.to_thread(amos.run, "extract", url, "--format", "text")
    as_json = await asyncio.to_thread(amos.run, "extract", "-", "--json", stdin=f"{url}\n{url}\n")

    (page,) = as_json.json["results"]
    assert pretty.exit_code == as_json.exit_code == 0
    assert page["url"] == url
    assert page["raw_content"].split()[0] in pretty.stdout
    assert pretty.stdout.splitlines()[-1].startswith("why  tavily")


async def test_a_failed_provider_is_named(amos: CommandLine, web: TavilySimulator):
    """When the first provider fails the answer of the next is shown, and the failure is among the reasons."""
    web.always(Fault.status(500))

    done = await asyncio.to_thread(amos.run, "search", "circuit breaker")

    assert done.exit_code == 0
    assert "why  local (degraded: the floor of the chain)" in done.stdout
    assert "tavily retryable: http_500" in done.stdout


async def test_no_answer_is_a_failure(amos: CommandLine, web: TavilySimulator):
    """When every provider fails, reasons and next step are on stderr, and the failure is recorded."""
    web.always(Fault.status(401))

    done = await asyncio.to_thread(amos.run, "extract", "https://almanac.example/tides")
    events = await asyncio.to_thread(amos.run, "events", "tail", "--json", "--type", "request.failed")

    assert done.exit_code == 1
    assert done.stdout == ""
    assert "tavily" in done.stderr
    assert "amos doctor" in done.stderr
    assert events.json["event"]["operation"] == "extract"


# --- the record ---------------------------------------------------------------------------------------------


def test_reports_show_what_was_searched(amos: CommandLine):
    """After two searches without any server all three reports count them."""
    amos.run("search", "-", stdin="circuit breaker\ntide tables\n")

    health = amos.run("report", "health", "--json").json
    hit_rate = amos.run("report", "hit-rate", "--json", "--since", "1h", "--by", "door").json
    latency = amos.run("report", "latency", "--json", "--until", "now").json
    assert health["requests"]["answered"] == 2
    assert [(row["door"], row["answered"]) for row in hit_rate["rows"]] == [("cli", 2)]
    assert {stage["stage"]: stage["calls"] for stage in latency["stages"]}["miss"] == 2
    for name in ("health", "hit-rate", "latency"):
        pretty = amos.run("report", name)
        assert (pretty.exit_code, pretty.stderr) == (0, "")
        assert re.search(r"\b2\b", pretty.stdout)


def test_an_execution_explains_itself(amos: CommandLine):
    """The id of an answer leads to its events and to sentences that say why."""
    execution_id = amos.run("search", "circuit breaker", "--json").json["amos"]["execution_id"]

    as_json = amos.run("events", "show", execution_id, "--json")
    pretty = amos.run("events", "show", execution_id)

    types = [item["event"]["type"] for item in as_json.json["events"]]
    assert types[0] == "amos.request.received.v1"
    assert types[-1] == "amos.request.completed.v1"
    assert "request.completed" in pretty.stdout
    assert "Answered with" in pretty.stdout


def test_an_unknown_execution_is_a_failure(amos: CommandLine):
    """An id nobody knows is one sentence and exit code 1; no database at all is no different."""
    done = amos.run("events", "show", "0199aaaa-0000-7000-8000-000000000000")

    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr


def test_tail_prints_the_last_events(amos: CommandLine):
    """Tail ends after the last events, oldest first, and can be limited to a kind of event."""
    amos.run("search", "circuit breaker")

    events = amos.run("events", "tail", "--json").json_lines
    attempts = amos.run("events", "tail", "--json", "--type", "attempt").json_lines

    assert [item["position"] for item in events] == sorted(item["position"] for item in events)
    assert "amos.request.completed.v1" in {item["event"]["type"] for item in events}
    assert {item["event"]["type"] for item in attempts} == {
        "amos.attempt.started.v1",
        "amos.attempt.succeeded.v1",
    }


def test_tail_follows_until_interrupted(amos: CommandLine):
    """With -f events appear while others search, and Ctrl-C ends it with 130 and no traceback."""
    amos.run("search", "circuit breaker")
    with amos.started("events", "tail", "-f", "--json", "--type", "request.completed") as tail:
        assert tail.stdout is not None
        assert json.loads(tail.stdout.readline())["event"]["operation"] == "search"

        amos.run("search", "tide tables")
        assert json.loads(tail.stdout.readline())["event"]["operation"] == "search"

        tail.send_signal(signal.SIGINT)
        assert tail.wait(30) == 130
        assert tail.stderr is not None
        assert "Traceback" not in tail.stderr.read()


# --- a server beside it -------------------------------------------------------------------------------------


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


# --- looking after it ---------------------------------------------------------------------------------------


def test_index_counts_documents(amos: CommandLine):
    """Index reads the configured folders; its figures are on stdout as JSON."""
    done = amos.run("index", "--json")

    assert done.exit_code == 0
    assert done.json["documents"] == len(PAGES)


def test_indexing_more_folders_forgets_none(amos: CommandLine):
    """A further folder joins the configured ones in the index, and is searched once it is configured too."""
    (amos.folder / "more").mkdir()
    (amos.folder / "more" / "moon.md").write_text("# Moon\n\nThe moon pulls the sea.\n", encoding="utf-8")

    done = amos.run("index", "more", "--json")

    assert (done.json["documents"], done.json["removed"]) == (len(PAGES) + 1, 0)
    assert "AMOS_LOCAL_PATHS" in done.stderr


def test_doctor_finds_nothing_wrong(amos: CommandLine):
    """On a fresh machine the doctor has no failure to report, and shows which providers lack what."""
    done = amos.run("doctor", "--json", TAVILY_API_KEY="tvly-secret")

    findings = {finding["name"]: finding for finding in done.json["findings"]}
    assert done.exit_code == 0
    assert findings["SQLite"]["status"] == "ok"
    assert "JINA_API_KEY" in findings["provider jina"]["detail"]
    assert findings["provider tavily"]["status"] == "ok"
    assert "tvly-secret" not in done.stdout + done.stderr


def test_doctor_changes_nothing(amos: CommandLine):
    """Looking does not even make the data folder."""
    done = amos.run("doctor")

    assert done.exit_code == 0
    assert "data folder" in done.stdout
    assert not (amos.folder / "var").exists()


def test_doctor_asks_providers_online(amos: CommandLine):
    """With --online each provider that can be asked is asked once."""
    done = amos.run("doctor", "--online", "--json")

    findings = {finding["name"]: finding for finding in done.json["findings"]}
    assert done.exit_code == 0
    assert "answered" in findings["online local"]["detail"]


def test_database_is_made_once(amos: CommandLine):
    """Db upgrade makes the database, is content the second time, and db current agrees with it."""
    before = amos.run("db", "current")
    made = amos.run("db", "upgrade")
    again = amos.run("db", "upgrade")
    after = amos.run("db", "current", "--json").json

    assert (before.exit_code, made.exit_code, again.exit_code) == (0, 0, 0)
    assert before.stdout == "none\n"
    assert "up to date" in again.stderr
    assert after["current"] == after["newest"]


# --- the command line itself --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("search",),
        ("search", "x", "--depth", "deep"),
        ("search", "x", "-n", "many"),
        ("search", "x"),
        ("report", "weather"),
        ("report", "health", "--since", "yesterdayish"),
        ("events",),
        ("serach", "x y"),
        ("search", "--bogus"),
        ("serve", "--host", "0.0.0.0"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(amos: CommandLine, arguments: tuple[str, ...]):
    """A usage error says what is wrong on stderr, leaves stdout empty and ends with 2."""
    done = amos.run(*arguments)

    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr


def test_a_wrong_setting_is_explained(amos: CommandLine):
    """All faults of the configuration are told at once, without a traceback."""
    done = amos.run("search", "x y", AMOS_PORT="nine", AMOS_PROVDERS="tavily")

    assert done.exit_code == 1
    assert "AMOS_PORT" in done.stderr
    assert "AMOS_PROVIDERS" in done.stderr
    assert "Traceback" not in done.stderr


def test_debugging_shows_the_traceback(amos: CommandLine):
    """AMOS_LOG_LEVEL=debug shows where an error comes from, before the sentence."""
    done = amos.run("events", "show", "nobody", AMOS_LOG_LEVEL="debug")

    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-2].startswith("Error: ") or "Error: " in done.stderr


def test_settings_in_force_are_shown_masked(amos: CommandLine):
    """Serve --print-settings shows flags over environment over defaults, and no key."""
    done = amos.run("serve", "--port", "9999", "--print-settings", JINA_API_KEY="jina_secret", AMOS_PORT="1")

    assert done.exit_code == 0
    assert "AMOS_PORT=9999\n" in done.stdout
    assert "jina_secret" not in done.stdout
    assert not (amos.folder / "var").exists()


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("--version",), ("search", "-h")])
def test_help_needs_no_setup(amos: CommandLine, arguments: tuple[str, ...]):
    """Help and version work whatever the configuration is, on stdout, and import nothing heavy."""
    done = amos.run(*arguments, AMOS_PORT="nine")

    assert done.exit_code == 0
    assert done.stdout
    assert done.stderr == ""


def test_help_starts_fast(amos: CommandLine):
    """`amos --help` imports neither the gateway nor a database, nor even rich."""
    done = amos.run("--help", PYTHONPROFILEIMPORTTIME="1")

    heavy = {"sqlalchemy", "pydantic", "httpx", "rich", "hypercorn", "alembic", "selectolax"}
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert not heavy & imported
    assert sys.version_info >= (3, 11)
