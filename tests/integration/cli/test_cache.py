"""`amos cache`: on what instances share, on a server, and where there is neither."""

from __future__ import annotations

import pytest

from tests.support.valkey import Valkey


@pytest.fixture
async def shared(amos):
    """The command line on a Valkey, with an answer in it."""
    async with Valkey() as valkey:
        amos.environment |= {"AMOS_REDIS_URL": valkey.url}
        yield amos


def test_without_a_server_what_instances_share_is_shown_and_cleared(shared):
    """Looking tells what Redis holds; clearing counts what is gone and is recorded."""
    assert shared.run("search", "tide tables").exit_code == 0

    seen = shared.run("cache", "stats", "--json")
    cleared = shared.run("cache", "clear", "--yes", "--json")
    again = shared.run("search", "tide tables", "--json")

    assert [(tier["tier"], tier["status"]) for tier in seen.json["tiers"]] == [("l2", "ok")]
    assert seen.json["tiers"][0]["bytes"] > 100_000
    assert cleared.json == {"tiers": ["l1", "l2"], "entries": {"l2": 1}, "elsewhere_within_s": 2.0}
    assert again.json["amos"]["cache"] == "miss"
    events = shared.run("events", "tail", "--json", "--type", "cache.cleared").json_lines
    assert [(event["stream"], event["event"]["by"], event["event"]["entries"]) for event in events] == [
        ("cache:all", "local", 1)
    ]


def test_a_person_reads_a_table_and_a_sentence(shared):
    """The tier, what it holds, what it may hold; then what is gone."""
    shown = shared.run("cache", "stats")
    cleared = shared.run("cache", "clear", "--yes", "--tier", "l2")

    assert shown.exit_code == cleared.exit_code == 0
    for words in ("l2", "ok", "holds", "noeviction"):
        assert words in shown.stdout
    assert "0 that instances shared" in cleared.stdout


def test_clearing_asks_and_where_nobody_is_refuses(shared):
    """Without --yes and without a terminal nothing is thrown away."""
    shared.run("search", "tide tables")

    refused = shared.run("cache", "clear")

    assert refused.exit_code == 2
    assert "--yes" in refused.stderr
    assert shared.run("search", "tide tables", "--json").json["amos"]["cache"] == "l2"


def test_a_redis_out_of_reach_is_said(amos):
    """Looking shows it as degraded, clearing fails."""
    amos.environment |= {"AMOS_REDIS_URL": "redis://127.0.0.1:1"}

    seen = amos.run("cache", "stats", "--json")
    cleared = amos.run("cache", "clear", "--yes")

    assert seen.json["tiers"][0]["status"] == "degraded"
    assert cleared.exit_code == 1
    assert "out of reach" in cleared.stderr


@pytest.mark.parametrize("command", [("stats",), ("clear", "--yes")])
def test_with_nothing_shared_the_server_is_to_be_asked(amos, command):
    """A memory cache is in the server's process, and this command says where to look."""
    refused = amos.run("cache", *command)

    assert refused.exit_code == 1
    assert "AMOS_REDIS_URL" in refused.stderr
    assert "--url" in refused.stderr


def test_a_server_is_looked_at_and_cleared(amos, server):
    """With --url it is the memory of that server."""
    amos.run("search", "--url", server, "tide tables")

    seen = amos.run("cache", "stats", "--url", server, "--json")
    table = amos.run("cache", "stats", "--url", server)
    cleared = amos.run("cache", "clear", "--yes", "--url", server)
    again = amos.run("search", "--url", server, "tide tables", "--json")

    assert [(tier["tier"], tier["entries"]) for tier in seen.json["tiers"]] == [("l1", 1)]
    assert "l1" in table.stdout
    assert "1 in the memory of that server" in cleared.stdout
    assert again.json["amos"]["cache"] == "miss"
