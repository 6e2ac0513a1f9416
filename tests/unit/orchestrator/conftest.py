"""Chooses the event loop: virtual time for the core, real time for providers, which talk to real servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from tests.support.clock import VirtualTimeLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """One kind of loop for each test of the core."""
    if "providers" in item.path.parts:
        return {"real": asyncio.SelectorEventLoop}
    return {"virtual": VirtualTimeLoop}
