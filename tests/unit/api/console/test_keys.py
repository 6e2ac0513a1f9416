"""The page of the API keys: made, rotated and revoked by those who may, and shown once."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

import pytest

from api.console.keys import KEYS_SHOWN, wish_of
from orchestrator.errors import InvalidRequest
from orchestrator.key_admin import OVERLAP_S
from orchestrator.principals import OwnLimits
from tests.support.keys import Keys
from tests.support.memory_gateway import BASE, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

PAGE = "/console/keys"
ALL = ("search", "extract", "refresh", "reports", "admin")
HTMX = {"HX-Request": "true", "Origin": BASE}

RAW = re.compile(r"amos_live_[0-9A-Za-z]{12}_[0-9A-Za-z]{36}")


@pytest.fixture
async def keys() -> Keys:
    """Keys in memory, of which there are none yet."""
    keys = Keys()
    await keys.ring.refresh()
    return keys


@pytest.fixture
async def client(keys: Keys) -> AsyncIterator[httpx.AsyncClient]:
    """A browser at this machine; with it is an admin's key."""
    async with served(keys=keys, allowed_origins=("https://app.example.org",)) as (_, client):
        client.headers["Authorization"] = f"Bearer {(await keys.make('operator', scopes=ALL)).raw}"
        yield client


async def test_of_many_keys_a_page_shows_some_and_finds_the_others(client: httpx.AsyncClient, keys: Keys):
    """Keys are never forgotten, so there may be thousands: to show all would hold up every call meanwhile."""
    for number in range(KEYS_SHOWN):
        await keys.make(f"team-{number}")

    page = await client.get(PAGE)
    found = await client.get(PAGE, params={"of": "TEAM-17"}, headers=HTMX)
    none = await client.get(PAGE, params={"of": "<b>"})

    assert page.text.count("<tr data-fails-here>") == KEYS_SHOWN
    assert f"{KEYS_SHOWN} of {KEYS_SHOWN + 1}" in page.text
    assert set(re.findall(r'nowrap">(team-\d+)<', found.text)) == {
        "team-17",
        *(f"team-17{n}" for n in range(10)),
    }
    assert "<html" not in found.text
    assert ("No key is of such a client" in none.text, "<b>" in none.text) == (True, False)


async def test_to_look_at_the_head_makes_nothing(client: httpx.AsyncClient, keys: Keys):
    """HEAD is GET without a body, whatever body comes with it."""
    shown = await client.request("HEAD", PAGE, json={"client": "team-search"})

    assert (shown.status_code, len(await keys.admin.list())) == (200, 1)


async def test_a_key_is_shown_to_its_maker_and_never_again(client: httpx.AsyncClient, keys: Keys):
    """Its maker's answer is kept by nobody, it may do what was ticked, and later only its id is shown."""
    form = {
        "client": "team-search",
        "scopes": ["search", "reports"],
        "expires_in_days": "90",
        "per_minute": "60",
    }
    made = await client.post(PAGE, json=form, headers=HTMX)

    (raw,) = RAW.findall(made.text)
    assert (made.status_code, made.headers["cache-control"]) == (200, "no-store")
    assert "<html" not in made.text
    key = next(key for key in await keys.admin.list() if key.client == "team-search")
    assert key.scopes == ("search", "reports")
    assert (key.expires_at or 0) - key.created_at == pytest.approx(90 * 86_400)
    assert key.limits == OwnLimits(per_minute=60)
    assert (await client.get("/keys", headers={"Authorization": f"Bearer {raw}"})).status_code == 403

    later = (await client.get(PAGE)).text
    assert key.id in later
    assert "60 a minute" in later
    for secret in (raw[23:], key.digest, *(one.digest for one in await keys.admin.list())):
        assert secret not in later


async def test_the_first_key_may_do_everything(keys: Keys):
    """Whoever makes it needs it from then on, on this page too; before, the page says so."""
    async with served(keys=keys) as (_, client):
        before = (await client.get(PAGE)).text
        await client.post(PAGE, json={"client": "me", "scopes": list(ALL)}, headers=HTMX)
        after = await client.get(PAGE)

    assert "There are no keys" in before
    assert len(re.findall(r'name="scopes\[\]" value="[a-z]+" checked', before)) == len(ALL)
    assert (after.status_code, after.headers["location"].split("?")[0]) == (303, "/console/login")


async def test_a_key_is_rotated_and_revoked(client: httpx.AsyncClient, keys: Keys):
    """The successor is shown once and names the old key; a revoked one has ended, and stays listed."""
    old = await keys.make("bot")
    rotated = await client.post(f"{PAGE}/{old.key.id}/rotate", json={"overlap_h": "2"}, headers=HTMX)
    again = await client.post(f"{PAGE}/{old.key.id}/rotate", json={}, headers=HTMX)
    new_id = RAW.findall(rotated.text)[0].split("_")[2]
    revoked = await client.request(
        "DELETE", f"{PAGE}/{new_id}", headers={**HTMX, "Content-Type": "application/json"}
    )

    found = {key.id: key for key in await keys.admin.list()}
    assert found[new_id].replaces == old.key.id
    assert (found[old.key.id].expires_at or 0) - found[new_id].created_at == pytest.approx(7_200)
    assert OVERLAP_S != 7_200
    assert again.status_code == 400
    assert "was rotated already" in again.text
    assert revoked.status_code == 200
    assert found[new_id].revoked_at
    assert not RAW.search(revoked.text)
    assert f"The key {new_id} of bot is revoked" in revoked.text
    shown = re.compile(rf'nowrap">({old.key.id}|{new_id})<')
    assert shown.findall(rotated.text) == [new_id, old.key.id]
    assert shown.findall(revoked.text) == [old.key.id, new_id]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"scopes": ["search"]}, "client: is missing"),
        ({"client": "<script>alert(1)</script>", "scopes": ["search"]}, "client: "),
        ({"client": "x"}, "scopes: "),
        (
            {"client": "x", "scopes": ["search"], "expires_in_days": "soon"},
            "expires_in_days: expected a whole",
        ),
        ({"client": "x", "scopes": ["search"], "burst": "-1"}, "burst: expected a whole"),
        ({"client": "x", "scopes": ["search"], "colour": "red"}, "An unknown field"),
    ],
)
async def test_a_wrong_form_makes_nothing(
    client: httpx.AsyncClient, keys: Keys, form: dict[str, object], words: str
):
    """What is wrong is said as a part of the page, to be put beside the form."""
    answer = await client.post(PAGE, json=form, headers=HTMX)

    assert answer.status_code == 400
    assert words in html.unescape(answer.text)
    assert "<html" not in answer.text
    assert "<script>" not in answer.text
    assert [key.client for key in await keys.admin.list()] == ["operator"]


async def test_without_the_scope_nothing_is_listed_or_changed(client: httpx.AsyncClient, keys: Keys):
    """A page says which scope is needed; a change is refused as it is."""
    weak = {"Authorization": f"Bearer {(await keys.make('weak', scopes=('search', 'reports'))).raw}"}
    page = await client.get(PAGE, headers=weak)
    made = await client.post(PAGE, json={"client": "x", "scopes": ["admin"]}, headers={**HTMX, **weak})

    assert (page.status_code, made.status_code) == (403, 403)
    assert "needs the scope admin" in page.text
    assert not any(key.id in page.text for key in await keys.admin.list())
    assert len(await keys.admin.list()) == 2


@pytest.mark.parametrize("origin", ["https://evil.example", "https://app.example.org", "null"])
async def test_another_origin_changes_nothing(client: httpx.AsyncClient, keys: Keys, origin: str):
    """Not even a page whose origin may use the API; and a form cannot send what our own page does."""
    foreign = await client.post(PAGE, json={"client": "x", "scopes": ["admin"]}, headers={"Origin": origin})
    form = await client.post(PAGE, data={"client": "x"}, headers={"Origin": BASE})

    assert (foreign.status_code, form.status_code) == (403, 415)
    assert len(await keys.admin.list()) == 1


async def test_keys_that_cannot_be_read_are_told(client: httpx.AsyncClient, keys: Keys):
    """While the database is away the page says so, and no form can make anybody believe that it worked."""
    keys.store.is_away = True
    page = await client.get(PAGE)
    made = await client.post(PAGE, json={"client": "x", "scopes": ["search"]}, headers=HTMX)

    assert (page.status_code, made.status_code) == (503, 503)
    assert "notice-danger" in page.text
    assert not RAW.search(made.text)


def test_fields_that_were_left_empty_are_not_wishes():
    """No box ticked is no scope, not those that keys have by default."""
    assert wish_of({"client": "x"}) == {"client": "x", "scopes": []}
    with pytest.raises(InvalidRequest):
        wish_of({"client": "x", "per_hour": "\uff11\uff12"})
