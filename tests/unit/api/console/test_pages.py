"""Pages from templates: the first of them, for which all who ask have to wait."""

from __future__ import annotations

import asyncio
import threading

import pytest

from api.console import environment, pages

PAGES = 40
"""More than an event loop has threads on 32 cores."""


async def test_the_first_page_holds_up_nothing_else(monkeypatch: pytest.MonkeyPatch):
    """While many wait for it, the event loop's own threads are free, such as to resolve a provider's name."""
    may_end = threading.Event()
    asked: list[bool] = []

    def compiled() -> dict[str, bytes]:
        asked.append(may_end.wait(2.0))
        return {}

    monkeypatch.setattr(environment, "compiled", compiled)
    pages._made.cache_clear()
    waiting = [asyncio.create_task(pages.page("doorstep.html", visit=None, to="/")) for _ in range(PAGES)]
    await asyncio.sleep(0)
    await asyncio.to_thread(may_end.set)

    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}
    assert asked == [True]
