"""`amos providers test` as a person and a program meet it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.http_server import DeadPort
from tests.support.plugin_package import write_metadata

if TYPE_CHECKING:
    from tests.support.command_line import InThisProcess


@pytest.fixture
def rogue(amos: InThisProcess, tmp_path, monkeypatch) -> InThisProcess:
    """A command line on an installation with the plug-in `rogue`."""
    write_metadata(tmp_path / "plugins", "rogue", "1.0", {"rogue": "tests.support.rogue_kinds:ROGUE"})
    monkeypatch.syspath_prepend(tmp_path / "plugins")
    return amos


def test_a_good_provider_passes(amos):
    """Every rule is a line, the sum is the last one, and how often it is asked is said before."""
    result = amos.run("providers", "test", "local", "--query", "circuit breaker")

    assert result.exit_code == 0, result.stdout
    assert "local is asked up to" in result.stderr
    assert "Scores are 0 to 1 and fall." in result.stdout
    assert " passed" in result.stdout.splitlines()[-1]
    assert "failed" not in result.stdout


def test_a_plugin_is_looked_at_without_its_guard(rogue):
    """What the guard would hide is what an author wants to know, with what to do about it."""
    options = ("--kind", "rogue", "--option", "does=raise", "-o", 'how="a bug"')

    result = rogue.run("providers", "test", "mine", *options, "--json")

    assert result.exit_code == 1
    report = result.json
    (failure,) = [check for check in report["checks"] if check["status"] == "failed"]
    assert (report["provider"], report["kind"], report["failed"]) == ("mine", "rogue", 1)
    assert (failure["name"], failure["detail"]) == ("errors", "A plain question raised KeyError: 'results'.")
    assert failure["advice"]


def test_questions_that_cost_need_a_yes(amos):
    """Where nobody can be asked, nothing is spent without --yes, and the price is said."""
    with DeadPort() as nobody:
        key = {"TAVILY_API_KEY": "tvly-x", "AMOS_TAVILY_BASE_URL": nobody.base_url}
        refused = amos.run("providers", "test", "tavily", **key)
        agreed = amos.run("providers", "test", "tavily", "--yes", "--only", "name", "--only", "errors", **key)

    assert refused.exit_code == 2
    assert "real questions of up to 2 credits each" in refused.stderr
    assert "--yes" in refused.stderr
    assert (agreed.exit_code, agreed.stdout.splitlines()[-1].strip()) == (0, "2 passed")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("bing",), 2, "No provider is called bing; there are"),
        (("mine", "--kind", "bing"), 2, "There is no kind of provider of this name"),
        (("mine", "--kind", "rogue", "--option", "does"), 2, "An option is NAME=VALUE."),
        (("mine", "--kind", "rogue", "--option", "dose=hang"), 2, "dose"),
        (("mine", "--kind", "rogue", "--option", "does=exit"), 1, "It could not be made: SystemExit."),
        (("tavily",), 1, "TAVILY_API_KEY is not set."),
        (("local", "--only", "taste"), 2, "There is no check taste; there are name, "),
    ],
)
def test_what_cannot_be_tested_is_said(rogue, arguments, code, said):
    """A mistake on the command line is a sentence, and nobody is asked anything."""
    result = rogue.run("providers", "test", *arguments)

    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr


def test_doctor_tells_of_plugins(rogue, tmp_path):
    """Who looks for what is wrong is told of a plug-in that is of no use."""
    write_metadata(tmp_path / "plugins", "other", "1.0", {"local": "tests.support.rogue_kinds:ROGUE"})

    findings = {finding["name"]: finding for finding in rogue.run("doctor", "--json").json["findings"]}

    assert findings["plugins"]["status"] == "warning"
    assert "The plug-in local is not used" in findings["plugins"]["detail"]


def test_doctor_asks_providers_and_not_what_is_said_of_plugins(rogue):
    """The line about plug-ins is no provider: with one installed `doctor --online` finds nothing wrong."""
    done = rogue.run("doctor", "--online", "--json")

    names = [finding["name"] for finding in done.json["findings"]]
    assert "plugins" in names
    assert [name for name in names if name.startswith("online ")] == ["online local"]
    assert done.exit_code == 0


def test_an_upstream_that_is_down_is_not_put_down_to_the_answer(amos):
    """Whose provider cannot be reached is told to look there, not at how results are built."""
    with DeadPort() as nobody:
        wiki = ("--kind", "searxng", "--option", f"url={nobody.base_url}")
        done = amos.run("providers", "test", "wiki", *wiki, "--only", "answer", "--json")

    (failure,) = done.json["checks"]
    assert "could not be reached" in failure["detail"]
    assert "upstream" in failure["advice"]
