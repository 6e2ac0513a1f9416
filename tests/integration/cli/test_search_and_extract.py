"""`amos search` and `amos extract` as a user has them: a process, a data folder, and folders to search."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.support.simulator import Fault

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine
    from tests.support.tavily_simulator import TavilySimulator


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


def test_lines_share_the_cache(amos: CommandLine):
    """The same question on a later line, in another spelling, is answered from the cache of the first."""
    done = amos.run("search", "-", "--json", stdin="circuit breaker\n Circuit  BREAKER\n")

    assert [line["amos"]["cache"] for line in done.json_lines] == ["miss", "l1"]


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


async def test_extract_prints_pages(amos: CommandLine, web: TavilySimulator):
    """Pages are printed with their text for people, in Tavily's format with --json; stdin gives URLs."""
    url = "https://almanac.example/tides"

    pretty = await asyncio.to_thread(amos.run, "extract", url, "--format", "text")
    as_json = await asyncio.to_thread(amos.run, "extract", "-", "--json", stdin=f"{url}\n{url}\n")

    (page,) = as_json.json["results"]
    assert pretty.exit_code == as_json.exit_code == 0
    assert page["url"] == url
    assert "the figures of the last ten years" in page["raw_content"]
    assert "the figures of the last ten years" in pretty.stdout
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
