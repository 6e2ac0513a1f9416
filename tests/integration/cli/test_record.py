"""`amos report` and `amos events`: what was done is shown, from the same record whoever did it."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
from typing import TYPE_CHECKING

from tests.support.command_line import Result

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine


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


def test_an_empty_record_says_which_it_is(amos: CommandLine):
    """Whoever stands in the wrong folder learns where was looked, and standard output stays data."""
    place = f"{amos.folder}/var/amos.db"
    said = f"There are no events in {place}; AMOS_DATA_DIR or AMOS_DATABASE_URL names another.\n"

    assert amos.run("events", "tail") == Result(0, "", said)
    report = amos.run("report", "health", "--json")

    assert (report.json["requests"]["total"], report.stderr) == (0, said)


def test_a_report_is_a_table_for_spreadsheets(amos: CommandLine):
    """`--csv` prints a heading and lines; what somebody searched for is no formula there."""
    amos.run("search", "-", stdin="=1+1 circuit breaker\ntide tables\n")

    done = amos.run("report", "queries", "--csv")

    assert (done.exit_code, done.stderr) == (0, "")
    lines = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {(line["list"], line["text"]) for line in lines if line["list"] == "top"} == {
        ("top", "'=1+1 circuit breaker"),
        ("top", "tide tables"),
    }


def test_a_report_is_drawn_on_a_terminal(amos: CommandLine):
    """A terminal gets bars and the time of its machine, a pipe neither; every report can be shown."""
    amos.run("search", "-", stdin="circuit breaker\ntide tables\n")

    for name in ("health", "hit-rate", "latency", "queries", "cost", "clients", "providers"):
        assert amos.run("report", name).exit_code == 0
    assert "█" in amos.run_on_terminal("report", "queries", PYTHONUTF8="1")
    assert "█" not in amos.run("report", "queries").stdout
    pretty = amos.run("report", "health", "--by", "hour", "--tz", "Asia/Kathmandu").stdout
    assert re.search(r"tz +Asia/Kathmandu", pretty)


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


def test_past_executions_are_found(amos: CommandLine):
    """A table for people, JSON for programs, CSV for spreadsheets; what cannot be asked is a usage error."""
    amos.run("search", "-", stdin="=1+1 circuit breaker\ntide tables\n")

    table = amos.run("executions", "--since", "1h")
    found = amos.run("executions", "--text", "TIDE", "--json").json
    sheet = amos.run("executions", "--csv", "--limit", "1", "--operation", "search")
    wrong = amos.run("executions", "--limit", "0")

    assert (table.exit_code, table.stderr) == (0, "")
    assert [one["text"] for one in found["executions"]] == ["tide tables"]
    assert found["executions"][0]["execution_id"] in table.stdout
    (line,) = csv.DictReader(io.StringIO(sheet.stdout))
    assert line["text"] in {"'=1+1 circuit breaker", "tide tables"}
    assert f"--before {line['position']} goes on there." in sheet.stderr
    assert (wrong.exit_code, "limit: expected a number from 1 to 200." in wrong.stderr) == (2, True)
