"""Who was busy may have room later: the chain comes back once, when all others have failed."""

from __future__ import annotations

import pytest

from orchestrator.errors import AllProvidersFailed, ProviderHeldBack, ProviderUnavailable
from orchestrator.fallback import Fallback, Step
from orchestrator.model import Found, SearchRequest
from orchestrator.outcome import BUSY
from tests.support.calls import make_call
from tests.support.clock import FakeClock
from tests.support.scripted_provider import found


class Steps:
    """A chain of providers that end differently each time they are asked, the last end for ever after."""

    def __init__(self, **ends: tuple[int | str, ...]) -> None:
        self.asked: list[str] = []
        self._clock = FakeClock()
        self._ends = {provider: list(each) for provider, each in ends.items()}

    async def answer(self) -> Found:
        """The one answer of the chain."""
        steps = [
            Step(
                provider=provider,
                service=self._service(provider),
                reserve_s=0.0,
                is_floor=provider == "local",
            )
            for provider in self._ends
        ]
        chain = Fallback(steps, self._clock, lambda _request, _answer: None, remainders_max=1)
        (answer,) = await chain(make_call(SearchRequest(query="tides"), clock=self._clock))
        return answer

    def _service(self, provider: str):
        async def service(_call):
            self.asked.append(provider)
            ends = self._ends[provider]
            end = ends.pop(0) if len(ends) > 1 else ends[0]
            if end == BUSY:
                raise ProviderHeldBack("Busy.", provider=provider, reason=BUSY)
            if end == "down":
                raise ProviderUnavailable("Down.", provider=provider, reason="http_503")
            return Found(answer=found(end, provider), provider=provider)

        return service


async def test_who_was_busy_is_asked_once_more_when_all_others_failed():
    """A place may have become free meanwhile, which is better than no answer."""
    steps = Steps(tavily=(BUSY, 2), jina=("down",))

    answer = await steps.answer()

    assert (answer.provider, steps.asked) == ("tavily", ["tavily", "jina", "tavily"])
    assert [(one.provider, one.reason) for one in answer.attempts] == [("tavily", BUSY)]


async def test_who_was_busy_is_not_asked_again_after_an_answer():
    """The next provider's answer ends the chain as always."""
    steps = Steps(tavily=(BUSY, 2), jina=(2,))

    answer = await steps.answer()

    assert (answer.provider, steps.asked) == ("jina", ["tavily", "jina"])


async def test_the_floor_waits_until_the_busy_one_was_asked_again():
    """Own documents stand in when there is nobody else left, not while a web provider may have room."""
    steps = Steps(tavily=(BUSY, 2), local=(1,))

    answer = await steps.answer()

    assert (answer.provider, answer.is_degraded) == ("tavily", False)


async def test_one_more_time_is_enough():
    """If all are busy the first of them is asked twice, and then the chain has an end."""
    steps = Steps(tavily=(BUSY,), jina=(BUSY,))

    with pytest.raises(AllProvidersFailed):
        await steps.answer()

    assert steps.asked == ["tavily", "jina", "tavily"]
