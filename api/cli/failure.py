"""How a failure reads at a terminal: what is wrong, in one sentence, what to do next, and the exit code."""

from __future__ import annotations

from typing import NamedTuple

from api.quantities import seconds
from orchestrator import errors

EXIT_FAILURE = 1
EXIT_USAGE = 2


class Failure(NamedTuple):
    """What a person is told. `next_step` is `""` when there is nothing better than to read the sentence."""

    sentence: str
    next_step: str = ""
    exit_code: int = EXIT_FAILURE


class CommandError(Exception):
    """A command cannot do what was asked, for a reason that is not the gateway's."""

    def __init__(self, sentence: str, next_step: str = "", *, exit_code: int = EXIT_FAILURE) -> None:
        super().__init__(sentence)
        self.failure = Failure(sentence, next_step, exit_code)


_NEXT_STEPS: tuple[tuple[type[errors.GatewayError], str], ...] = (
    (
        errors.QuotaExhausted,
        "Raise the limit at a provider, or set AMOS_LOCAL_PATHS to search your own folders.",
    ),
    (errors.BudgetExhausted, "`amos budget` shows every limit and what was spent of it."),
    (errors.AllProvidersFailed, "`amos doctor --online` asks each provider once and says what is wrong."),
    (errors.DeadlineExceeded, "Try again, or allow more time with AMOS_DEADLINE_S."),
    (errors.KeyNotFound, "`amos keys list` shows the ids of all keys."),
    (errors.ProviderNotFound, "`amos providers list` shows the names of all providers."),
    (errors.NotFound, "`amos events tail` lists recent executions; the newest appear after about a second."),
    (errors.CannotWarm, "docs/operations/caching.md says what warming needs."),
    (errors.Unauthenticated, "Ask the server's operator how to reach it."),
    (errors.EventLogUnavailable, "`amos doctor` checks the data folder, the database and the disk."),
    (errors.KeysUnavailable, "`amos doctor` checks the database; `amos db upgrade` brings it up to date."),
    (errors.CacheUnavailable, "`amos doctor` tries Redis; AMOS_REDIS_URL says where it is."),
    (errors.StorageError, "`amos doctor` checks the data folder, the database and the disk."),
    (errors.SettingsError, "Correct the environment or .env; .env.example explains every setting."),
)
"""What helps against which error; the first class that fits counts, so the special come first."""


def explain(error: Exception) -> Failure:
    """The failure to show, whatever the error is."""
    if isinstance(error, CommandError | errors.GatewayError):
        return explain_expected(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        return Failure(
            f"{error.filename}: {error.strerror}.", "`amos doctor` checks the data folder and the disk."
        )
    if isinstance(error, OSError) and error.strerror:
        return Failure(f"{error.strerror}.", "`amos doctor` checks the data folder and the disk.")
    detail = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Failure(f"Unexpected error, {detail}.", "AMOS_LOG_LEVEL=debug shows where it comes from.")


def explain_expected(error: CommandError | errors.GatewayError) -> Failure:
    """The failure to show for an error raised on purpose."""
    if isinstance(error, CommandError):
        return error.failure
    is_usage = isinstance(error, errors.InvalidRequest)
    return Failure(error.message, _next_step(error), EXIT_USAGE if is_usage else EXIT_FAILURE)


def _next_step(error: errors.GatewayError) -> str:
    known = next((step for kind, step in _NEXT_STEPS if isinstance(error, kind)), "")
    if not known and error.retry_after_s is not None:
        return f"Try again in {seconds(max(1, round(error.retry_after_s)))}."
    return known
