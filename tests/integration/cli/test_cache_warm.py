"""`amos cache warm`, on the shared cache and against a server: what it shows, asks, and leaves behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from storage.redis_flight import LEASE_MS
from tests.support.processes import until
from tests.support.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.command_line import CommandLine, InThisProcess
    from tests.support.tavily_simulator import TavilySimulator

TWICE = "circuit breaker\ntide tables\n" * 2
"""Two searches, asked twice each."""


@pytest.fixture
def redis(amos: CommandLine) -> Iterator[Valkey]:
    """A shared cache that the command line is configured for."""
    server = Valkey()
    server.launch()
    amos.environment |= {"AMOS_REDIS_URL": server.url, "AMOS_REDIS_TIMEOUT_S": "1"}
    yield server
    server.close()


def test_what_was_asked_twice_is_warm_again(amos: CommandLine, redis: Valkey):
    """After it has run the next search is a hit of the shared cache; the table says what was done."""
    amos.run("search", "-", "--json", stdin=f"{TWICE}asked once\n")
    redis.flushall()

    done = amos.run("cache", "warm", "--yes")
    again = amos.run("search", "tide tables", "--json")
    fresh = amos.run("cache", "warm", "--yes")

    assert done.exit_code == fresh.exit_code == 0, done.stderr
    head, *rows = [line.split() for line in done.stdout.splitlines() if line and line[0] not in "─ "]
    assert head == ["query", "asked", "age", "left", "outcome", "cost"]
    # Which of the two comes first depends on how long each took.
    assert sorted(rows[:2]) == [["circuit", "breaker", "2", "warmed"], ["tide", "tables", "2", "warmed"]]
    assert "2 warmed for $0, 0 fresh" in done.stdout
    assert again.json["amos"]["cache"] == "l2"
    assert "0 warmed for $0, 2 fresh" in fresh.stdout


def test_json_has_every_candidate_and_the_summary(amos: CommandLine, redis: Valkey):
    """--json prints one object; a rehearsal has its own summary, and fetches nothing."""
    amos.run("search", "-", "--json", stdin=TWICE)
    redis.flushall()

    looked = amos.run("cache", "warm", "--dry-run", "--json").json
    done = amos.run("cache", "warm", "--yes", "--json", "--top", "1").json

    assert [one["outcome"] for one in looked["candidates"]] == ["due", "due"]
    assert (looked["rehearsed"]["candidates"], looked["rehearsed"]["due"]) == (2, 2)
    assert [(one["text"], one["calls"], one["outcome"]) for one in done["candidates"]] == [
        (done["candidates"][0]["text"], 2, "warmed")
    ]
    assert (done["finished"]["warmed"], done["finished"]["ended_by"]) == (1, "done")


def test_nothing_is_spent_without_a_yes(amos: CommandLine, redis: Valkey):
    """Where nobody can be asked it is refused, with what to write instead."""
    done = amos.run("cache", "warm")

    assert done.exit_code == 2
    assert "--yes" in done.stderr
    assert "--dry-run" in done.stderr


def test_a_cache_that_would_end_with_the_command_is_not_warmed(amos: CommandLine):
    """Without Redis it says that a server must be asked."""
    done = amos.run("cache", "warm", "--yes")

    assert done.exit_code == 2
    assert "--url" in done.stderr


def test_nothing_asked_is_said(amos: CommandLine, redis: Valkey):
    """On a new installation there is nothing to warm, and that is no failure."""
    done = amos.run("cache", "warm", "--yes")

    assert (done.exit_code, done.stdout.strip()) == (0, "Nothing was asked often enough to be warmed.")


@pytest.mark.parametrize(
    "option", [("--since", "soon"), ("--budget", "-1"), ("--budget", "nan"), ("--top", "1001")]
)
def test_a_wrong_option_is_a_sentence(amos: CommandLine, redis: Valkey, option: tuple[str, str]):
    """It names the option, and the code says that the command line is wrong."""
    done = amos.run("cache", "warm", "--yes", *option)

    assert done.exit_code == 2
    assert option[0].strip("-") in done.stderr
    assert "Traceback" not in done.stderr


def test_an_erased_text_is_not_asked_again(amos: CommandLine, redis: Valkey):
    """Text and options go together; what is left is a row without words."""
    amos.run("search", "-", "--json", stdin=TWICE)
    redis.flushall()
    amos.run("events", "erase", "--query", "tide tables", "--yes")

    done = amos.run("cache", "warm", "--yes", "--json").json

    assert {one["text"]: one["outcome"] for one in done["candidates"]} == {
        None: "unknown",
        "circuit breaker": "warmed",
    }


def test_a_server_is_warmed_from_afar(amos: CommandLine, server: str):
    """--url warms the memory of that server; a server whose answers are all fresh says so."""
    for query in ("circuit breaker", "circuit breaker", "tide tables", "tide tables"):
        amos.run("search", query, "--json", "--url", server)
    # The server's recorder counts what was asked within a second or two.
    done = amos.run("cache", "warm", "--yes", "--json", "--url", server)
    for _ in range(40):
        if done.json["finished"]["candidates"] == 2:
            break
        done = amos.run("cache", "warm", "--yes", "--json", "--url", server)

    assert done.exit_code == 0
    assert (done.json["finished"]["skipped"], done.json["finished"]["warmed"]) == (2, 0)
    assert "2 fresh" in amos.run("cache", "warm", "--yes", "--url", server).stdout


async def test_a_run_that_is_killed_loses_nothing(amos: InThisProcess, redis: Valkey, web: TavilySimulator):
    """What was paid for is in the record, the open call as assumed; the next run goes on where it ended."""
    queries = [f"harbour {number}" for number in range(6)]
    asked = "\n".join(queries * 2)
    assert (await asyncio.to_thread(amos.apart.run, "search", "-", "--json", stdin=asked)).exit_code == 0
    redis.flushall()
    before = web.count
    web.delay_s = 0.5

    with amos.apart.started("cache", "warm", "--yes") as process:
        await until(lambda: web.count >= before + 3, 30.0, lambda: f"only {web.count - before} were asked")
        process.kill()
        await asyncio.to_thread(process.wait)
    web.delay_s = 0.0
    calls = web.count - before
    await asyncio.sleep(LEASE_MS / 1000 + 0.2)  # the killed one's lease lapses by itself
    done = await asyncio.to_thread(amos.apart.run, "cache", "warm", "--yes", "--json")
    cost = await asyncio.to_thread(amos.apart.run, "report", "cost", "--by", "client", "--json")

    finished = done.json["finished"]
    assert finished["skipped"] + finished["warmed"] == 6
    assert finished["skipped"] >= 1
    (warming,) = [row for row in cost.json["rows"] if row["client"] == "warming"]
    paid = warming["spent_usd_micros"] + warming["assumed_usd_micros"]
    assert paid == 8_000 * (calls + finished["warmed"]) == 8_000 * (web.count - before)
    assert warming["assumed_usd_micros"] >= 8_000
