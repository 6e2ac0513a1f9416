"""Somebody with a browser in front of the console: whatever the browser complains of fails the test.

async with visiting(browser, lived.amos, color_scheme="dark") as page:
    await page.goto("/console/overview")
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Page

from tests.support.gateway_server import GatewayServer

PATIENCE_MS = 10_000
"""What a page may take on the busiest machine."""

LOCALE = "en-GB"
"""Without one Chromium invents `en-US@posix` where the environment names none, which is no language."""

RECORDS_EVERY_S = 0.2

REFUSED = "Failed to load resource: the server responded with a status of"
"""A browser says this of every answer that is no success; a test that expects one says so."""


@dataclass(frozen=True)
class Lived:
    """A gateway with some history, and one execution in it that was retried and fell back."""

    amos: GatewayServer
    execution_id: str

    @property
    def pages(self) -> dict[str, str]:
        """Every page of the console by its name, those with something to say of the history first."""
        return {
            "search": "/",
            "answer": "/?q=tide+tables",
            "nothing answers": "/?q=x",
            "live": "/console/live",
            "executions": "/console/executions",
            "execution": f"/console/executions/{self.execution_id}",
            "overview": "/console/overview?range=1h",
            "providers": "/console/providers",
            "keys": "/console/keys",
            "login": "/console/login",
        }


@dataclass(frozen=True)
class Guarded:
    """A gateway with keys, and one of them, of the client `boss`, that may do everything."""

    amos: GatewayServer
    key: str


@contextlib.asynccontextmanager
async def visiting(
    browser: Browser, amos: GatewayServer, *, expects_refusal: bool = False, **context: Any
) -> AsyncIterator[Page]:
    """A page in a window of its own, which knows nothing of others; `context` is Playwright's.

    What breaks the content security policy, fails to load or raises in a script, fails the test at the end.
    """
    window = await browser.new_context(base_url=amos.base_url, locale=LOCALE, **context)
    window.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        is_expected = expects_refusal and message.text.startswith(REFUSED)
        if message.type in ("error", "warning") and not is_expected:
            complaints.append(f"{message.text} ({message.location})")

    page = await window.new_page()
    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        yield page
    finally:
        await window.close()
    assert complaints == []
