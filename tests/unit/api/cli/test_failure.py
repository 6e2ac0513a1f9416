"""Failures as sentences and exit codes."""

from __future__ import annotations

import pytest

from api.cli.app import run
from api.cli.failure import CommandError, explain
from orchestrator import errors


def subclasses(kind: type[Exception]) -> list[type[Exception]]:
    """The class and everything below it."""
    return [kind, *(found for child in kind.__subclasses__() for found in subclasses(child))]


@pytest.mark.parametrize("kind", subclasses(errors.GatewayError), ids=lambda kind: kind.__name__)
def test_every_error_of_the_gateway_has_a_sentence(kind):
    """No error of the tree is unexpected, and its message is what a person reads."""
    error = kind.__new__(kind)
    errors.GatewayError.__init__(error, "It broke.")

    failure = explain(error)

    assert failure.sentence == "It broke."
    assert failure.exit_code == (2 if kind is errors.InvalidRequest else 1)


def test_all_failed_leads_to_the_doctor():
    """When no provider answered, the next step is to ask each of them, not just to wait."""
    failure = explain(
        errors.AllProvidersFailed("No provider (tavily: http_500).", attempts=(), retry_after_s=1)
    )

    assert failure.sentence == "No provider (tavily: http_500)."
    assert "amos doctor --online" in failure.next_step


def test_waiting_is_the_next_step_where_it_helps():
    """An error that knows when to come back says so instead of anything else."""
    failure = explain(errors.RateLimited("Too many calls.", retry_after_s=3.4))

    assert failure.next_step == "Try again in 3 s."
    assert explain(errors.RateLimited("No.", retry_after_s=36_961.0)).next_step == "Try again in 10 h 16 min."


def test_a_lost_redis_does_not_lead_to_the_disk():
    """What is out of reach is what is to be looked at."""
    assert "AMOS_REDIS_URL" in explain(errors.CacheUnavailable("Redis is out of reach.")).next_step


def test_a_spent_budget_leads_to_the_limits():
    """Midnight is far; which limit it is and what was spent of it can be looked at now."""
    failure = explain(errors.BudgetExhausted("Your budget is spent.", retry_after_s=36_961.0))

    assert "`amos budget`" in failure.next_step


def test_a_commands_own_failure_keeps_its_code():
    """A command chooses sentence, next step and exit code."""
    failure = explain(CommandError("No.", "Do this.", exit_code=2))

    assert failure == ("No.", "Do this.", 2)


def test_a_fault_of_the_disk_names_the_file():
    """An error of the operating system is told with the file it is about."""
    failure = explain(PermissionError(13, "Permission denied", "/srv/amos/journal"))

    assert failure.sentence == "/srv/amos/journal: Permission denied."
    assert "amos doctor" in failure.next_step


def test_a_fault_of_the_program_is_admitted():
    """Anything else is called unexpected, with its kind and how to see more, and no traceback."""
    failure = explain(ValueError("bad"))
    assert failure.sentence == "Unexpected error, ValueError: bad."
    assert "AMOS_LOG_LEVEL=debug" in failure.next_step
    assert failure.exit_code == 1


@pytest.mark.parametrize(
    ("command_line", "sentence", "step"),
    [
        (
            "report",
            (
                "Missing argument 'name'. "
                "Choose from: health, hit-rate, latency, queries, cost, clients, providers"
            ),
            "`amos report --help` shows how to use it.",
        ),
        (
            "events tail --url localhost:8000",
            "No such option: --url",
            "`amos events tail` works on the data folder and database of the settings: run it there.",
        ),
        (
            "report health --key-fil x",
            "No such option: --key-fil (Possible options: --key-file)",
            "`amos report --help` shows how to use it.",
        ),
    ],
)
def test_a_wrong_command_line_is_one_line_and_a_next_step(capfd, command_line, sentence, step):
    """The choices stand behind the sentence, and a command that asks no server says where to run it."""
    assert run(command_line.split()) == 2
    assert capfd.readouterr().err == f"Error: {sentence}\n{step}\n"


def test_the_commands_of_events_are_told_whole(capfd):
    """Looking comes first, then checking, then taking away; no sentence of the list is cut."""
    run(["events", "--help"])

    listed = capfd.readouterr().out.partition("Commands:\n")[2]
    assert [line.split()[0] for line in listed.splitlines()] == [
        "tail",
        "show",
        "verify",
        "replay",
        "prune",
        "export",
        "erase",
    ]
    assert "..." not in listed
