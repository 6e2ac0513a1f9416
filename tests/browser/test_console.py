"""The console in a real browser: what a person sees, and what their browser would complain of."""

from __future__ import annotations

import asyncio

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, Route, expect

from tests.support.console_visitor import Guarded, Lived, visiting

pytestmark = pytest.mark.asyncio(loop_scope="module")

WIDTHS = (390, 768, 1024, 1130, 1280)
"""A phone, two tablets, the narrowest window with its menu at the side, a desk."""

EXCESS = """[document.documentElement, ...document.querySelectorAll(".card")]
  .reduce((most, one) => Math.max(most, one.scrollWidth - one.clientWidth), 0)"""
"""By how many pixels something is wider than its place."""

NOTE_TICKS = """const ours = CanvasRenderingContext2D.prototype, {clearRect, fillText} = ours;
ours.clearRect = function (...place) { this.canvas.ticks = []; clearRect.apply(this, place); };
ours.fillText = function (text, ...at) { this.canvas.ticks.push(text); fillText.call(this, text, ...at); };"""
"""What a chart writes beside its axes is kept with its canvas."""

NEXT_FRAME = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
"""Charts follow the width of their place in the frame after it has changed."""

SERIOUS = ("serious", "critical")
"""Impacts, in the words of axe, that keep somebody from using a page."""

GROUND = "getComputedStyle(document.body).backgroundColor"

PIXELS_OF_SERIES = """canvas => {
  const style = getComputedStyle(document.documentElement);
  const series = [1, 2, 3, 4, 5].map(n => style.getPropertyValue(`--series-${n}`).match(/\\d+/g).map(Number));
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let found = 0;
  for (let at = 0; at < data.length; at += 4) {
    const distance = rgb => rgb.reduce((sum, value, part) => sum + Math.abs(data[at + part] - value), 0);
    if (data[at + 3] > 200 && series.some(rgb => distance(rgb) < 40)) found += 1;
  }
  return found;
}"""
"""How much of a canvas has the colours of figures, which its axes do not have."""


async def test_a_search_shows_its_results_and_the_way_it_took(browser: Browser, lived: Lived):
    """Whoever searches sees results and, beside them, each attempt on one axis; the address can be shared."""
    async with visiting(browser, lived.amos) as page:
        await page.goto("/")
        await page.get_by_role("searchbox").fill("offshore wind capacity")
        await page.get_by_role("button", name="Search").click()

        await expect(page.locator(".result")).to_have_count(5)
        await expect(page.locator(".waterfall")).to_contain_text("tavily")
        assert await page.locator(".track-bar.track-success").count() > 0
        assert "q=offshore+wind+capacity" in page.url
        shown = await page.content()

        await page.reload()

        await expect(page.locator(".result")).to_have_count(5)
        assert "cache in memory" not in shown
        await expect(page.locator(".why")).to_contain_text("cache in memory")


async def test_a_search_without_scripts(browser: Browser, lived: Lived):
    """A browser without JavaScript searches by a plain form, and sees the same."""
    async with visiting(browser, lived.amos, java_script_enabled=False) as page:
        await page.goto("/")
        await page.get_by_role("searchbox").fill("bee colony losses")
        await page.get_by_role("button", name="Search").click()

        await expect(page.locator(".result")).to_have_count(5)
        await expect(page.locator(".waterfall")).to_contain_text("tavily")


async def test_a_call_of_somebody_else_arrives_in_the_live_list(browser: Browser, lived: Lived):
    """The live list shows a call within five seconds after its answer, without a touch; not while paused."""
    async with visiting(browser, lived.amos) as page:
        await page.goto("/console/live")
        await expect(page.locator("body")).to_contain_text("heat pump noise")

        await lived.amos.search("a call of somebody else")

        await expect(page.locator("main")).to_contain_text("a call of somebody else", timeout=5_000)

        await page.get_by_role("button", name="Pause").click()
        await lived.amos.search("a call while nobody looks")
        await asyncio.sleep(2.5)  # longer than it waits between two looks

        await expect(page.locator("main")).not_to_contain_text("a call while nobody looks")


async def test_charts_are_drawn(browser: Browser, lived: Lived):
    """Every chart of a time with calls shows figures on its canvas, in the colours of light and of dark."""
    async with visiting(browser, lived.amos) as page:
        await page.goto("/console/overview?range=1h")
        await _drawn(page)
        light = await _figures(page)
        await page.get_by_role("button", name="Light or dark").click()
        dark = await _figures(page)

        assert len(light) >= 4
        assert min(light) > 10, light
        assert min(dark) > 10, dark


async def test_charts_without_looking_at_them(browser: Browser, lived: Lived):
    """Arrow keys go through a chart's values, which are said; the same figures stand in a table."""
    async with visiting(browser, lived.amos) as page:
        await page.goto("/console/overview?range=1h")
        await _drawn(page)
        traffic = page.locator(".chart").first
        await traffic.locator(".chart-body").focus()
        await page.keyboard.press("End")
        newest = await traffic.locator(".chart-spoken").inner_text()
        await page.keyboard.press("ArrowLeft")

        assert "Answered" in newest
        assert await traffic.locator(".chart-spoken").inner_text() != newest

        await traffic.locator("summary").click()

        await expect(traffic.locator("details tbody tr").nth(50)).to_be_visible()


async def test_charts_that_cannot_be_drawn(browser: Browser, lived: Lived):
    """Where the library of the charts does not run, the page says so, and the figures stand in a table."""
    async with visiting(browser, lived.amos) as page:
        await page.add_init_script("Object.defineProperty(window, 'uPlot', {value: undefined})")
        await page.goto("/console/overview?range=1h")
        traffic = page.locator(".chart").first

        await expect(traffic.locator(".chart-state")).to_contain_text("figures are in the table")

        await traffic.locator("summary").click()

        await expect(traffic.locator("details tbody tr").nth(50)).to_be_visible()


async def test_a_chart_of_nothing_spent(browser: Browser, lived: Lived):
    """Where no money was spent the axis is still one on which no two ticks are written alike."""
    async with visiting(browser, lived.amos) as page:
        await page.add_init_script(NOTE_TICKS)
        await page.route("**/console/data/*", _spending_nothing)
        await page.goto("/console/overview?range=1h")
        await _drawn(page)

        charts = [await canvas.evaluate("it => it.ticks") for canvas in await page.locator("canvas").all()]
        (ticks,) = [ticks for ticks in charts if any(text.startswith("$") for text in ticks)]

        assert len(ticks) > 2
        assert len(ticks) == len(set(ticks))


async def _spending_nothing(route: Route) -> None:
    answer = await route.fetch()
    content = await answer.json()
    if content["unit"] == "usd_micros":
        times, *columns = content["columns"]
        content["columns"] = [times, *([0] * len(column) for column in columns)]
    await route.fulfill(response=answer, json=content)


async def _drawn(page: Page) -> None:
    """Wait for the charts of the page, if it has any."""
    await expect(page.locator(".chart canvas")).to_have_count(await page.locator(".chart").count())


async def _figures(page: Page) -> list[int]:
    return [await canvas.evaluate(PIXELS_OF_SERIES) for canvas in await page.locator(".chart canvas").all()]


async def test_light_and_dark(browser: Browser, lived: Lived):
    """The page follows the system until somebody chooses; the choice holds for later pages."""
    async with visiting(browser, lived.amos, color_scheme="dark") as page:
        await page.goto("/")
        dark = await page.evaluate(GROUND)
        await page.emulate_media(color_scheme="light")
        light = await page.evaluate(GROUND)

        assert dark != light

        await page.get_by_role("button", name="Light or dark").click()
        await page.goto("/console/providers")

        assert await page.evaluate(GROUND) == dark


async def test_no_screen_needs_sideways_scrolling(browser: Browser, lived: Lived):
    """On a phone, a tablet and a desk no page is wider than the screen, and no table wider than its card."""
    async with visiting(browser, lived.amos, has_touch=True, expects_refusal=True) as page:
        wider = {}
        for name, address in lived.pages.items():
            await page.goto(address)
            for width in WIDTHS:
                await page.set_viewport_size({"width": width, "height": 844})
                await page.evaluate(NEXT_FRAME)
                if (excess := await page.evaluate(EXCESS)) > 0:
                    wider[f"{name} at {width}"] = excess

        assert wider == {}

        await page.set_viewport_size({"width": WIDTHS[0], "height": 844})
        await page.goto("/")
        await page.get_by_role("link", name="Keys").tap()
        await expect(page).to_have_url("/console/keys")


async def test_the_keyboard_is_enough(browser: Browser, lived: Lived):
    """The first Tab offers to skip the menu; what has the focus is seen; Escape steps back; Enter asks."""
    async with visiting(browser, lived.amos) as page:
        await page.goto("/console/providers")
        await page.keyboard.press("Tab")
        assert await _focused(page) == "Skip to the content"

        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.id") == "main"

        await page.goto("/console/keys")
        seen = []
        for _ in range(8):
            await page.keyboard.press("Tab")
            seen.append(await _focused(page))
            style = "(s => s.outlineStyle + s.outlineWidth)(getComputedStyle(document.activeElement))"
            assert await page.evaluate(style) == "solid2px", seen
        assert seen[1:8] == ["AMOS", "Search", "Live", "Executions", "Overview", "Providers", "Keys"]

        await page.goto("/console/providers")
        await page.get_by_role("button", name="Disable tavily").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        assert await _focused(page) == "Disable"

        await page.goto("/")
        await page.keyboard.type("sourdough hydration")
        await page.keyboard.press("Enter")
        await expect(page.locator(".result")).to_have_count(5)


async def _focused(page: Page) -> str:
    return str(await page.evaluate("document.activeElement.textContent.trim()"))


async def test_everybody_can_use_every_page(browser: Browser, lived: Lived):
    """By axe nothing is serious on any page, light or dark; no page breaks its own security policy."""
    async with visiting(browser, lived.amos, expects_refusal=True) as page:
        found = {}
        for name, address in lived.pages.items():
            await page.emulate_media(color_scheme="light")
            await page.goto(address)
            await _drawn(page)
            light = await Axe().run(page)
            await page.emulate_media(color_scheme="dark")
            dark = await page.evaluate("axe.run({runOnly: ['color-contrast']})")
            violations = [*light.response["violations"], *dark["violations"]]
            found[name] = [_told(one) for one in violations if one["impact"] in SERIOUS]

        assert {name: told for name, told in found.items() if told} == {}


def _told(violation: dict) -> str:
    return f"{violation['id']}: {[node['html'][:200] for node in violation['nodes'][:3]]}"


async def test_what_strangers_wrote_stays_text(browser: Browser, lived: Lived):
    """Markup in queries and results is shown as it was written, and does nothing."""
    markup = "<img src=x onerror=document.body.remove()><script>alert(1)</script>"
    async with visiting(browser, lived.amos) as page:
        await page.goto("/")
        await page.get_by_role("searchbox").fill(markup)
        await page.keyboard.press("Enter")
        await expect(page.locator(".result")).to_have_count(5)
        await expect(page.get_by_role("searchbox")).to_have_value(markup)
        await page.goto("/console/live")
        await expect(page.locator("main")).to_contain_text(markup)

        assert await page.locator("main :is(img, script)").count() == 0


async def test_logging_in_and_out(browser: Browser, guarded: Guarded):
    """Where keys exist, a key opens the page that was asked for, until its holder logs out."""
    async with visiting(browser, guarded.amos, expects_refusal=True) as page:
        await page.goto("/console/executions")
        await expect(page).to_have_url("/console/login?next=%2Fconsole%2Fexecutions&why=no_credential")
        await page.get_by_label("API key").fill("amos_live_wrong")
        await page.get_by_role("button", name="Log in").click()
        await expect(page.get_by_role("alert")).not_to_be_empty()

        await page.get_by_label("API key").fill(guarded.key)
        await page.keyboard.press("Enter")

        await expect(page).to_have_url("/console/executions")
        await expect(page.locator(".who")).to_have_text("boss")
        assert guarded.key not in str(await page.context.cookies())

        await page.get_by_role("button", name="Log out").click()
        await expect(page).to_have_url("/console/login")
        await page.goto("/console/executions")

        await expect(page.get_by_label("API key")).to_be_visible()


async def test_a_key_is_made_used_and_revoked(browser: Browser, guarded: Guarded):
    """A new key is shown once and opens the console; who is logged in with it is out when it is revoked."""
    async with (
        visiting(browser, guarded.amos) as boss,
        visiting(browser, guarded.amos, expects_refusal=True) as guest,
    ):
        await _log_in(boss, guarded.key)
        await boss.goto("/console/keys")
        await boss.get_by_label("Client").fill("guest")
        await boss.get_by_role("button", name="Make the key").click()
        made = await boss.locator("#made-key").inner_text()
        await boss.reload()
        assert made not in await boss.content()

        await _log_in(guest, made)
        await expect(guest.locator(".menu a")).to_have_text(["Search", "Live", "Executions"])

        await boss.get_by_role("button", name="of guest").filter(has_text="Revoke").click()
        await boss.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        await expect(boss.get_by_role("row").filter(has_text="guest")).to_contain_text("revoked")
        await guest.get_by_role("searchbox").fill("tide tables")
        await guest.keyboard.press("Enter")

        await expect(guest.get_by_label("API key")).to_be_visible()


async def _log_in(page: Page, key: str) -> None:
    await page.goto("/console/login")
    await page.get_by_label("API key").fill(key)
    await page.get_by_role("button", name="Log in").click()
    await expect(page).to_have_url("/")
