"""The simulated providers of the integration tests; a module that wants them otherwise has its own."""

from __future__ import annotations

import pytest

from tests.support.jina_simulator import JinaSimulator
from tests.support.tavily_simulator import TavilySimulator


@pytest.fixture
async def tavily():
    """Tavily, simulated."""
    async with TavilySimulator() as running:
        yield running


@pytest.fixture
async def jina():
    """Jina, simulated."""
    async with JinaSimulator() as running:
        yield running
