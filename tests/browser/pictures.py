"""Takes the pictures of docs/console.md: `.venv/bin/python -m tests.browser.pictures` writes them anew.

They show a day of calls lived by a real gateway between simulated providers (tests/support/console_day.py),
in the Chromium and with the fonts of tests/browser, whatever the machine has.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import msgspec
from playwright.async_api import Browser, Page

from tests.support.chromium import chromium
from tests.support.console_day import Day, lived_day
from tests.support.console_visitor import visiting
from tests.support.faults import Fault

FOLDER = Path(__file__).parents[2] / "docs" / "console"

DESKTOP = (1200, 750)

PHONE = (390, 780)

TALL = (1200, 1180)

FAULTS = 2
"""So many failures a provider is forgiven in one call: it is retried once."""


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """One file: which page it shows, and how."""

    name: str
    address: str
    scheme: str = "light"
    size: tuple[int, int] = DESKTOP
    has_fault: bool = False
    """The first provider fails, twice, when the page is asked for."""


async def main() -> None:
    """Live the day, and look at every page."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        async with lived_day(Path(folder)) as day, chromium() as browser:
            for picture in await _pictures(day):
                await _take(browser, day, picture)


async def _pictures(day: Day) -> tuple[Picture, ...]:
    day.tavily.script(Fault.status(503), times=FAULTS)
    headers = {"Authorization": f"Bearer {day.key}"}
    answer = await day.amos.search("offshore wind capacity factor", headers)
    execution_id = answer.json()["amos"]["execution_id"]
    await day.amos.drain()
    return (
        Picture(name="search", address="/?q=heat+pump+noise+limits", has_fault=True),
        Picture(name="execution", address=f"/console/executions/{execution_id}"),
        Picture(name="executions", address="/console/executions"),
        Picture(name="live", address="/console/live"),
        Picture(name="overview", address="/console/overview?range=24h", size=TALL),
        Picture(name="overview-dark", address="/console/overview?range=24h", scheme="dark"),
        Picture(name="providers", address="/console/providers"),
        Picture(name="keys", address="/console/keys"),
        Picture(name="search-phone", address="/?q=heat+pump+noise+limits", size=PHONE),
    )


async def _take(browser: Browser, day: Day, picture: Picture) -> None:
    width, height = picture.size
    viewport = {"width": width, "height": height}
    async with visiting(browser, day.amos, viewport=viewport, color_scheme=picture.scheme) as page:
        await _log_in(page, day.key)
        if picture.has_fault:
            day.tavily.script(Fault.status(503), times=FAULTS)
        await page.goto(picture.address)
        await page.wait_for_load_state("load")
        await asyncio.sleep(1.0)  # charts are drawn when their figures have come
        await page.screenshot(path=FOLDER / f"{picture.name}.png")


async def _log_in(page: Page, key: str) -> None:
    await page.goto("/console/login")
    await page.get_by_label("API key").fill(key)
    await page.get_by_role("button", name="Log in").click()
    await page.wait_for_url("/")


if __name__ == "__main__":
    asyncio.run(main())
