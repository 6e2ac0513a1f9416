"""An extract of large pages keeps nobody from searching; one that hangs is the provider's fault."""

from __future__ import annotations

import pytest

from orchestrator.errors import ProviderProtocolError, ProviderTimeout
from tests.support.core import URL, Core, both


@pytest.mark.parametrize(
    ("failure", "state"),
    [
        (ProviderProtocolError("Too large.", provider="tavily", reason="too_large"), "closed"),
        (ProviderProtocolError("No JSON.", provider="tavily", reason="bad_json"), "open"),
        (ProviderTimeout("Late.", provider="tavily", reason="timeout"), "open"),
    ],
)
async def test_pages_are_as_large_as_they_are(failure, state):
    """Whatever their size, the circuit that searches share stays closed, and the next provider reads them."""
    core = Core(*both(tavily=[failure]))

    answers = [await core.extract(f"{URL}/{number}") for number in range(10)]

    assert {answer.provider for answer in answers} == {"jina"}
    assert core.pipeline.circuits["tavily"].state == state


async def test_a_search_has_a_size():
    """Its results are counted and short: an answer without an end is the provider's fault."""
    core = Core(*both(tavily=[ProviderProtocolError("Too large.", provider="tavily", reason="too_large")]))

    for number in range(10):
        await core.search(f"tides {number}")

    assert core.pipeline.circuits["tavily"].state == "open"
