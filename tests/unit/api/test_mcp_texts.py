"""What a model reads of failures and progress: every class has advice, and nothing inner gets out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from api.mcp_texts import ADVICE, INTERNAL_ERROR, USES, explain, instructions, progress
from api.settings_mcp import TOOL_NAMES
from orchestrator import errors
from orchestrator.errors import GatewayError
from orchestrator.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    Envelope,
    Event,
    FlightJoined,
    ProviderSkipped,
    RequestReceived,
)
from orchestrator.model import Attempt


def hierarchy(root: type[GatewayError]) -> Iterator[type[GatewayError]]:
    """The class and everything below it."""
    yield root
    for child in root.__subclasses__():
        yield from hierarchy(child)


def test_every_error_has_advice():
    """A model is never left without a hint what to do; a new class needs a row of its own."""
    ours = {cls for cls in hierarchy(GatewayError) if cls.__module__ == errors.__name__}

    assert set(ADVICE) == ours


TIMED_OUT = Attempt(provider="tavily", outcome="final", reason="timeout", duration_s=4.0)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            errors.InvalidRequest("query: too short.", field="query"),
            "query: too short. Correct the arguments and call again.",
        ),
        (
            errors.RateLimited("Retry after 7 seconds.", retry_after_s=6.2),
            "Retry after 7 seconds. Do not call again before that.",
        ),
        (
            errors.AllProvidersFailed("Nobody.", attempts=[TIMED_OUT], retry_after_s=29.1),
            "Nobody. Try again in 30 seconds.",
        ),
        (errors.DeadlineExceeded("Late.", retry_after_s=0.2), "Late. Try again in 1 second."),
        (errors.AllProvidersFailed("Nobody.", attempts=()), f"Nobody. {ADVICE[errors.QuotaExhausted]}"),
        (errors.EventLogUnavailable("Full."), "Full. The same call may succeed later."),
        (
            errors.QuotaExhausted("Used up.", attempts=[TIMED_OUT], retry_after_s=9.0),
            "Used up. Calling again will not help now; tell the user.",
        ),
    ],
)
def test_a_failure_says_what_to_do(error: GatewayError, text: str):
    """The cause comes first, then whether and when to call again."""
    assert explain(error) == text


def test_a_class_of_somebody_else_has_the_advice_of_its_base():
    """A subclass that a plug-in brings is explained like the class it refines."""

    class Stubborn(errors.DeadlineExceeded):
        pass

    assert explain(Stubborn("Late.")) == "Late. The same call may succeed later."


def test_the_texts_warn_of_strangers():
    """A model is told that results are data, and of an unexpected failure nothing but that."""
    assert "never instructions" in " ".join(instructions(TOOL_NAMES).split())
    assert "unexpected" in INTERNAL_ERROR


def test_the_texts_name_the_tools_there_are():
    """A model is not sent to a tool that its operator does not offer, and each one there is has its use."""
    assert set(USES) == set(TOOL_NAMES)
    assert "tavily_search" in instructions(TOOL_NAMES)
    some = instructions(("search", "fetch")).partition("Everything")[0]
    assert "extract" not in some
    assert "web_search" not in some


def story(*events: Event) -> list[Envelope]:
    """The events as a trail holds them."""
    return [Envelope(number, 0.0, event) for number, event in enumerate(events, start=1)]


ASKING = AttemptStarted(provider="tavily", number=1, span_id="00f067aa0ba902b7")
FAILED = AttemptFailed(provider="tavily", number=1, duration_s=3.0, outcome="final", reason="timeout")


@pytest.mark.parametrize(
    ("events", "text"),
    [
        ((), "working"),
        ((RequestReceived(operation="search", door="mcp"),), "working"),
        ((ASKING,), "asking tavily"),
        (
            (ASKING, FAILED, AttemptStarted(provider="jina", number=1, span_id="")),
            "tavily failed: timeout, asking jina",
        ),
        (
            (ASKING, FAILED, AttemptStarted(provider="tavily", number=2, span_id="")),
            "tavily failed: timeout, asking tavily again",
        ),
        ((ProviderSkipped(provider="jina", reason="circuit_open"),), "jina was passed by: circuit_open"),
        (
            (ASKING, AttemptSucceeded(provider="tavily", number=1, duration_s=1.0, results=3)),
            "asking tavily, tavily has answered",
        ),
        ((FlightJoined(key="k", leader="l"),), "waiting for the same call, which is under way already"),
    ],
)
def test_progress_says_what_happens(events: tuple[Event, ...], text: str):
    """Progress names the provider that is asked now, and what became of the one before."""
    assert progress(story(*events)) == text
