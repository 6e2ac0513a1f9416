"""The page of the providers: their order, what is known of them, and changes by those who may."""

from __future__ import annotations

import asyncio
import html
import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from api.console.data import QUESTIONS_MAX
from api.console.providers import places
from orchestrator.provider_admin import ListedProvider
from orchestrator.providers.registry import PRIORITY_MAX
from tests.support.keys import Keys
from tests.support.memory_gateway import BASE, served
from tests.support.providers import Instance

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from orchestrator.reports.report import Question

PAGE = "/console/providers"
HTMX = {"HX-Request": "true", "Origin": BASE}
JSON = {**HTMX, "Content-Type": "application/json"}


@pytest.fixture
async def here() -> AsyncIterator[Instance]:
    """The list of an instance: `first` and `local`, both of the settings."""
    instance = Instance()
    await instance.book.refresh()
    yield instance
    await instance.aclose()


@pytest.fixture
async def client(here: Instance) -> AsyncIterator[httpx.AsyncClient]:
    """A browser of the person at this machine."""
    async with served(listed=here) as (_, client):
        yield client


def shown(text: str) -> list[str]:
    """The providers of a page, in their order."""
    return re.findall(r'<section class="card provider"[^>]*aria-labelledby="provider-([a-z0-9_]+)"', text)


async def test_a_provider_is_added_moved_disabled_and_removed(client: httpx.AsyncClient, here: Instance):
    """Each answer is the list as it is then, with a sentence; what is asked is what is shown."""
    form = {"name": "wiki", "kind": "engine", "options": '{"results": 2, "extra": "{secret:wiki}"}'}
    added = await client.post(PAGE, json=form, headers=HTMX)
    up = await client.patch(f"{PAGE}/wiki", json={"priority": 49}, headers=HTMX)
    off = await client.patch(f"{PAGE}/first", json={"enabled": False}, headers=HTMX)
    asked = list(here.asked)
    gone = await client.request("DELETE", f"{PAGE}/wiki", headers=JSON)

    assert shown(added.text) == ["first", "wiki", "local"]
    assert "<html" not in added.text
    assert "{secret:wiki}" in html.unescape(added.text)
    assert "wiki is a provider from now on" in added.text
    assert shown(up.text) == ["wiki", "first", "local"]
    assert "wiki is asked as number 1" in up.text
    assert "first is disabled, and asked no more" in off.text
    assert "Not asked: disabled by local" in off.text
    assert asked == ["wiki", "local"]
    assert shown(gone.text) == ["first", "local"]
    assert shown((await client.get(PAGE)).text) == ["first", "local"]


async def test_of_two_who_move_at_the_same_time_one_is_told(client: httpx.AsyncClient, here: Instance):
    """A button says which order it was pressed upon; in another one it does nothing, and that is said."""
    await client.post(PAGE, json={"name": "wiki", "kind": "engine", "priority": 150}, headers=HTMX)
    (later, *_) = re.findall(r"data-sends='([^']+)'", (await client.get(PAGE)).text)[1::2]
    wish = msgspec.json.decode(html.unescape(later))
    before = list(here.asked)
    done = await client.patch(f"{PAGE}/first", json=wish, headers=HTMX)
    moved = list(here.asked)
    refused = await client.patch(f"{PAGE}/first", json=wish, headers=HTMX)
    wrong = await client.patch(f"{PAGE}/first", json={**wish, "seen": "first"}, headers=HTMX)

    assert wish["seen"] == before
    assert (done.status_code, refused.status_code, wrong.status_code) == (200, 409, 400)
    assert moved != before
    assert f"The list was changed meanwhile: it is {', '.join(moved)} now." in html.unescape(refused.text)
    assert here.asked == moved


@pytest.mark.parametrize(
    ("form", "status", "words"),
    [
        ({"name": "first", "kind": "engine"}, 409, "is a provider of the settings"),
        ({"name": "Wiki!", "kind": "engine"}, 400, "name: expected"),
        ({"name": "wiki", "kind": "nobody"}, 400, "kind"),
        ({"name": "wiki", "kind": "engine", "options": "url=x"}, 400, "options: expected a JSON object"),
        (
            {"name": "wiki", "kind": "engine", "options": '{"a":' * 5_000},
            400,
            "options: expected a JSON object",
        ),
        ({"name": "wiki", "kind": "engine", "options": '{"url": "hush-hush"}'}, 400, "holds a secret"),
        ({"name": "wiki", "kind": "engine", "priority": "first"}, 400, "priority: expected 0 to"),
        ({"kind": "engine"}, 400, "name: is missing"),
    ],
)
async def test_what_cannot_be_is_said_and_changes_nothing(
    client: httpx.AsyncClient, here: Instance, form: dict[str, str], status: int, words: str
):
    """A conflict or a wrong form is a part of the page, to be put beside the form; no secret is repeated."""
    answer = await client.post(PAGE, json=form, headers=HTMX)

    assert answer.status_code == status
    assert words in html.unescape(answer.text)
    assert "hush-hush" not in answer.text
    assert here.asked == ["first", "local"]


async def test_a_change_that_cannot_be_recorded_is_not_made(client: httpx.AsyncClient, here: Instance):
    """With a full journal the failure is shown, and the list stays as it was."""
    here.journal.is_full = True
    answer = await client.patch(f"{PAGE}/first", json={"enabled": False}, headers=HTMX)

    assert answer.status_code == 503
    assert "event_log_unavailable" in answer.text
    assert here.asked == ["first", "local"]


async def test_a_secret_of_the_settings_is_not_shown(here: Instance):
    """Nobody checks the options that settings give; a secret among them is masked."""
    here.roster.use(
        msgspec.structs.replace(one, options={"url": "http://hush-hush"}) for one in here.roster.registrations
    )
    async with served(listed=here) as (_, client):
        page = (await client.get(PAGE)).text

    assert "hush-hush" not in page
    assert "***" in page


async def test_all_pages_together_read_few_reports_at_once(here: Instance):
    """However many look at this page and at the charts, the database has few questions at a time."""
    under_way, most = 0, 0

    async def report(_name: str, _question: Question) -> dict[str, Any]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return {"rows": []}

    async with served(listed=here) as (memory, client):
        memory.gateway.reports.report = report  # type: ignore[method-assign]
        shown = await asyncio.gather(*map(client.get, [PAGE, "/console/data/traffic"] * 3))

    assert [one.status_code for one in shown] == [200] * 6
    assert most == QUESTIONS_MAX


async def test_only_admins_see_and_change_the_list(here: Instance):
    """Addresses inside a network are for those who may change them."""
    keys = Keys()
    await keys.ring.refresh()
    weak = {"Authorization": f"Bearer {(await keys.make('weak', scopes=('search', 'reports'))).raw}"}
    async with served(listed=here, keys=keys) as (_, client):
        page = await client.get(PAGE, headers=weak)
        change = await client.patch(f"{PAGE}/first", json={"enabled": False}, headers={**HTMX, **weak})
        test = await client.post(f"{PAGE}/first/test", json={}, headers={**HTMX, **weak})

    assert (page.status_code, change.status_code, test.status_code) == (403, 403, 403)
    assert shown(page.text) == []
    assert here.asked == ["first", "local"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_another_origin_changes_nothing(client: httpx.AsyncClient, here: Instance, origin: str):
    """A page elsewhere cannot disable a provider in the name of the person at this machine."""
    answer = await client.patch(f"{PAGE}/first", json={"enabled": False}, headers={"Origin": origin})
    form = await client.post(PAGE, data={"name": "x", "kind": "engine"}, headers={"Origin": BASE})

    assert (answer.status_code, form.status_code) == (403, 415)
    assert here.asked == ["first", "local"]


async def test_a_provider_that_is_not_asked_is_not_tested(client: httpx.AsyncClient, here: Instance):
    """One that is disabled, or that nobody knows, is not asked a question."""
    await client.patch(f"{PAGE}/first", json={"enabled": False}, headers=HTMX)
    off = await client.post(f"{PAGE}/first/test", json={}, headers=HTMX)
    unknown = await client.post(f"{PAGE}/nobody/test", json={}, headers=HTMX)

    assert (off.status_code, unknown.status_code) == (400, 404)
    assert "first is disabled and cannot be asked" in off.text


@pytest.mark.parametrize(
    ("priorities", "expected"),
    [
        ([100, 200, 300], [(None, 250), (49, 400), (150, None)]),
        ([0, 200], [(None, 300), (None, None)]),
        ([100, 101, 102], [(None, None), (49, 202), (None, None)]),
        ([100, PRIORITY_MAX], [(None, None), (49, None)]),
        ([100], [(None, None)]),
    ],
)
def test_a_place_is_between_those_that_will_be_beside_it(
    priorities: list[int], expected: list[tuple[int | None, int | None]]
):
    """Earlier is before the one before, later behind the one behind, if there is a number left."""
    listed = [one(number, priority) for number, priority in enumerate(priorities)]

    found = [(place.earlier, place.later) for place in places(listed)]

    assert found == expected
    for number, (earlier, later) in enumerate(found):
        if earlier is not None:
            assert earlier < priorities[number - 1]
        if later is not None:
            assert later > priorities[number + 1]


def one(number: int, priority: int) -> ListedProvider:
    """A provider with this priority."""
    return ListedProvider(
        name=f"p{number}",
        kind="engine",
        priority=priority,
        enabled=True,
        source="runtime",
        options={},
        status="serving",
        detail="",
        since=None,
        by="",
    )
