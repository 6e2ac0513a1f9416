"""The real application over ASGI, on the real gateway with parts in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.support.memory_gateway import MemoryGateway, served


@pytest.fixture
async def running() -> AsyncIterator[tuple[MemoryGateway, httpx.AsyncClient]]:
    """A gateway and a client of its application; paths work under the prefix /t as well."""
    async with served(root_paths=("/t",)) as pair:
        yield pair


@pytest.fixture
def memory(running: tuple[MemoryGateway, httpx.AsyncClient]) -> MemoryGateway:
    """The gateway and its parts."""
    return running[0]


@pytest.fixture
def client(running: tuple[MemoryGateway, httpx.AsyncClient]) -> httpx.AsyncClient:
    """The client, as from this machine."""
    return running[1]
