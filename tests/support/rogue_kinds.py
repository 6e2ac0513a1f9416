"""A kind of provider as a plug-in brings it, whose providers misbehave as their options say."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from orchestrator.model import Call, SearchRequest
from orchestrator.plugin import ProviderKind, Tools
from orchestrator.providers.option_checks import timing_of
from orchestrator.providers.stepping import STUCK_S
from tests.support.rogue_provider import (
    Answering,
    Blocking,
    Hanging,
    Honest,
    Raising,
    Swallowing,
    garbage,
    unsound_errors,
)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`does` is what it does wrong, `how` which of the ways to do that; `timeout_s` is its own."""

    does: str = "nothing"
    how: str = ""
    timeout_s: float | None = None


class BlockingAndFailing(Blocking):
    """Holds the event loop, and has no answer in the end."""

    async def search(self, call: Call[SearchRequest]) -> Any:
        """Nothing, after a while."""
        await super().search(call)
        raise KeyError("results")


class Stuck(Honest):
    """Holds the event loop for so long that nobody would wait."""

    async def search(self, call: Call[SearchRequest]) -> Any:
        """Answer in the end, so that the test has one."""
        sleep_on(STUCK_S + 2.5)
        return self.answer(call.request)


def sleep_on(seconds: float) -> None:
    """Hold the loop; the line that the log must name."""
    time.sleep(seconds)


def make(name: str, options: Options, _tools: Tools) -> Any:
    """The provider that does so."""
    makers: dict[str, Callable[[], Any]] = {
        "nothing": lambda: Honest(name),
        "hang": lambda: Hanging(name),
        "swallow": lambda: Swallowing(name),
        "raise": lambda: Raising(unsound_errors()[options.how], name),
        "garbage": lambda: Answering(garbage(name)[options.how], name),
        "block": lambda: Blocking(name),
        "block and fail": lambda: BlockingAndFailing(name),
        "get stuck": lambda: Stuck(name),
        "be no provider": object,
        "be another": lambda: Honest("somebody_else"),
        "exit": _exit,
    }
    provider = makers[options.does]()
    if isinstance(provider, Honest):
        provider.timing = timing_of(options.timeout_s)
    return provider


def _exit() -> None:
    raise SystemExit(3)


ROGUE = ProviderKind(summary="Does what it is told to.", options=Options, make=make)
NO_KIND = "not a ProviderKind"
ODD_OPTIONS = ProviderKind(summary="Has options that are none.", options=dict, make=make)  # type: ignore[type-var]
