"""The console on the real server: sessions over instances, executions from the record, and its loss."""

from __future__ import annotations

import asyncio
import contextlib
import html
import re
import sqlite3
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from api.console.live import NEW_ROWS_MAX, SHARED_S
from orchestrator.key_admin import KeyWish, NewKey
from tests.support.faults import Fault
from tests.support.gateway_server import GatewayServer, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.tavily_simulator import TavilySimulator

HTMX = {"HX-Request": "true"}

PAGES = ("/", *(f"/console/{name}" for name in ("live", "executions", "overview", "providers", "keys")))
"""All pages of the menu."""


@pytest.fixture
async def amos(tmp_path, tavily: TavilySimulator) -> AsyncIterator[GatewayServer]:
    """A gateway on a migrated database, without keys yet."""
    async with serving(tmp_path, tavily=tavily) as server:
        await server.drain()
        yield server


async def make(amos: GatewayServer, client: str, *scopes: str) -> NewKey:
    """A key, made where the server runs."""
    assert amos.gateway.keys is not None
    return await amos.gateway.keys.create(KeyWish(client=client, scopes=scopes), by="test")


@contextlib.asynccontextmanager
async def browser(amos: GatewayServer, raw: str) -> AsyncIterator[httpx.AsyncClient]:
    """A browser of its own that has logged in with the key."""
    async with httpx.AsyncClient(base_url=amos.base_url, trust_env=False) as client:
        begun = await client.post("/console/login", json={"key": raw}, headers={"Origin": amos.base_url})
        assert begun.status_code == 200, begun.text
        yield client


def spoil(amos: GatewayServer) -> None:
    """Something else stands where the event log was."""
    with contextlib.closing(sqlite3.connect(amos.database)) as connection:
        connection.execute("ALTER TABLE frames RENAME TO elsewhere")
        connection.execute("CREATE TABLE frames (something)")


def ids_in(page: httpx.Response) -> list[str]:
    """The executions that a page leads to, in its order."""
    return re.findall(r'href="/console/executions/([0-9a-f-]{36})"', page.text)


async def test_an_execution_is_explained(amos: GatewayServer):
    """Just answered it is looked for again; recorded, it has what was asked, its story, bars and events."""
    asked = await amos.client.get("/?q=tide+tables")
    (execution_id,) = ids_in(asked)
    address = f"/console/executions/{execution_id}"

    early = await amos.client.get(address)
    await amos.drain()
    shown = await amos.client.get(address)

    assert (early.status_code, early.headers["refresh"]) == (404, f"1; url={address}?tried=1")
    assert "refresh" not in (await amos.client.get(f"/console/executions/{'0' * 32}?tried=1")).headers
    assert "<strong>tide tables</strong>" in shown.text
    assert "A call for search came in at console." in shown.text
    assert "tavily answered with 5 results" in shown.text
    assert 'class="track-bar track-success"' in shown.text
    assert "amos.attempt.succeeded.v1" in shown.text


async def test_a_page_that_is_never_there_is_not_looked_for_for_ever(amos: GatewayServer):
    """After ten looks the page stands still."""
    (execution_id,) = ids_in(await amos.client.get("/?q=tide+tables"))

    assert "refresh" in (await amos.client.get(f"/console/executions/{execution_id}?tried=9")).headers
    assert "refresh" not in (await amos.client.get(f"/console/executions/{execution_id}?tried=10")).headers


async def test_past_executions_are_found(amos: GatewayServer):
    """By text, outcome and everything else the form has, newest first, a page at a time."""
    for query in ("tide tables", "moon phases", "tide times"):
        await amos.search(query)
    await amos.search("x" * 500)
    await amos.drain()

    everything = await amos.client.get("/console/executions")
    tides = await amos.client.get("/console/executions?text=TIDE&outcome=answered&client=&door=http")
    failed = await amos.client.get("/console/executions?outcome=failed", headers=HTMX)
    wrong = await amos.client.get("/console/executions?since=yesterday")
    none = await amos.client.get("/console/executions?provider=nobody")

    assert len(ids_in(everything)) == 4
    assert ids_in(tides) == [ids_in(everything)[1], ids_in(everything)[3]]
    assert 'name="text" type="search" value="TIDE"' in tides.text
    assert (ids_in(failed), "invalid_request" in failed.text) == (ids_in(everything)[:1], True)
    assert "<html" not in failed.text
    assert (wrong.status_code, "since: expected an age" in wrong.text) == (400, True)
    assert "Nothing fits" in none.text


async def test_older_executions_are_on_the_next_page(amos: GatewayServer):
    """The cursor goes on where the page ended, with the same filters."""
    for number in range(51):
        await amos.search(f"tide {number}")
    await amos.drain()

    first = await amos.client.get("/console/executions?text=tide")
    more = re.search(r'rel="next" href="([^"]+)"', first.text)
    assert more is not None
    second = await amos.client.get(more[1].replace("&amp;", "&"))

    assert (len(ids_in(first)), len(ids_in(second))) == (50, 1)
    assert not set(ids_in(first)) & set(ids_in(second))
    assert 'rel="next"' not in second.text
    assert (">Newest</a>" in first.text, ">Newest</a>" in second.text) == (False, True)


async def test_everybody_sees_their_own_and_reports_sees_all(amos: GatewayServer):
    """The calls of others do not exist for a key without the scope `reports`: no row, no page."""
    acme, other = await make(amos, "acme", "search"), await make(amos, "other", "search", "reports")
    async with browser(amos, acme.raw) as mine, browser(amos, other.raw) as all_of_them:
        (own,) = ids_in(await mine.get("/?q=tide+tables"))
        (foreign,) = ids_in(await all_of_them.get("/?q=moon+phases"))
        await amos.drain()

        for path in ("/console/executions", "/console/live", "/console/live/rows?after=0"):
            assert ids_in(await mine.get(path)) == [own], path
            assert ids_in(await all_of_them.get(path)) == [foreign, own], path
        assert ids_in(await mine.get("/console/executions?client=other")) == []
        assert (await mine.get(f"/console/executions/{foreign}")).status_code == 404
        assert (await all_of_them.get(f"/console/executions/{own}")).status_code == 200


async def test_the_live_list_shows_what_is_new(amos: GatewayServer):
    """Each look gives what has ended since the one before, and where the next begins."""
    await amos.search("tide tables")
    await amos.drain()
    shown = await amos.client.get("/console/live")
    after = re.search(r'name="after" value="(\d+)"', shown.text)
    assert after is not None

    quiet = await amos.client.get("/console/live/rows", params={"after": after[1]}, headers=HTMX)
    await amos.search("moon phases")
    await amos.drain()
    await asyncio.sleep(SHARED_S)
    new = await amos.client.get("/console/live/rows", params={"after": after[1]}, headers=HTMX)

    assert len(ids_in(shown)) == 1
    assert (ids_in(quiet), f'value="{after[1]}"' in quiet.text) == ([], True)
    assert "moon phases" in new.text
    assert len(ids_in(new)) == 1
    assert f'value="{int(after[1]) + 1}"' not in quiet.text


async def test_the_live_list_is_bounded(amos: GatewayServer):
    """More than a look shows is named, not listed; a cursor that is none begins anew."""
    for number in range(NEW_ROWS_MAX + 1):
        await amos.search(f"tide {number}")
    await amos.drain()

    new = await amos.client.get("/console/live/rows", params={"after": "9" * 40}, headers=HTMX)

    assert len(ids_in(new)) == NEW_ROWS_MAX
    assert "More calls ended than are shown here" in new.text


async def test_while_the_record_cannot_be_read(amos: GatewayServer):
    """Searching goes on; what reads the record says why it cannot, and the live list that it will go on."""
    spoil(amos)

    asked = await amos.client.get("/?q=tide+tables")
    whole = await amos.client.get("/console/executions")
    part = await amos.client.get("/console/executions", headers=HTMX)
    one = await amos.client.get(f"/console/executions/{ids_in(asked)[0]}")
    live = await amos.client.get("/console/live")
    rows = await amos.client.get("/console/live/rows?after=1", headers=HTMX)

    assert asked.status_code == 200
    assert [page.status_code for page in (whole, part, one, live, rows)] == [503] * 5
    assert all("event_log_unavailable" in page.text for page in (whole, part, one, live))
    assert 'name="text"' in whole.text
    assert 'hx-target="#live-state"' in rows.text
    assert "The list goes on by itself" in rows.text


async def test_a_deadline_is_told_with_what_was_tried(tmp_path, tavily: TavilySimulator):
    """A provider that hangs does not hang the page."""
    tavily.script(Fault.hang(), times=9)
    async with serving(tmp_path, tavily=tavily, deadline_s=0.3, grace_s=0.1) as amos:
        shown = await amos.client.get("/?q=tide+tables", headers=HTMX)

    assert shown.status_code in (503, 504)
    assert "track-danger" in shown.text


async def test_a_session_opens_every_instance_until_its_key_ends(tmp_path, tavily: TavilySimulator):
    """Instances that share database and pepper share sessions, and end them within five seconds."""
    shared = {
        "database_url": f"sqlite+aiosqlite:///{tmp_path}/shared.db",
        "key_pepper": "a pepper of the tests, long enough for all",
    }
    async with (
        serving(tmp_path / "a", tavily=tavily, **shared) as one,
        serving(tmp_path / "b", tavily=tavily, **shared) as two,
    ):
        await one.drain()
        made = await make(one, "acme", "search")
        async with browser(one, made.raw) as client:
            cookie = {"Cookie": f"amos_session={client.cookies['amos_session']}"}

        made_at = time.monotonic()
        while (await two.client.get("/", headers=cookie)).status_code != 200:
            assert time.monotonic() - made_at < 5.0
            await asyncio.sleep(0.05)
        assert one.gateway.keys is not None
        await one.gateway.keys.revoke(made.key.id, by="test")
        assert (await one.client.get("/", headers=cookie)).status_code == 303

        revoked_at = time.monotonic()
        while (await two.client.get("/", headers=cookie)).status_code == 200:
            assert time.monotonic() - revoked_at < 5.0
            await asyncio.sleep(0.05)


async def test_no_link_is_dead_for_whoever_is_logged_in(amos: GatewayServer):
    """Every link on a page leads to what the session may see: none into the API, which wants a header."""
    made = await make(amos, "acme", "search", "reports", "admin")
    async with browser(amos, made.raw) as client:
        (execution_id,) = ids_in(await client.get("/?q=tide+tables"))
        await amos.drain()
        found = {}
        for page in (*PAGES, f"/console/executions/{execution_id}"):
            for link in re.findall(r'href="(/[^"]*)"', (await client.get(page)).text):
                found[link] = (await client.get(html.unescape(link))).status_code

    assert len(found) > 10
    assert {link for link, status in found.items() if status != 200} == set()


async def test_a_session_is_recorded_by_its_key_and_not_by_its_cookie(amos: GatewayServer):
    """The record says whose key it was and that it came by a session; neither key nor cookie is in it."""
    made = await make(amos, "acme", "search")
    async with browser(amos, made.raw) as client:
        (execution_id,) = ids_in(await client.get("/?q=tide+tables"))
        seal = client.cookies["amos_session"].rpartition(".")[2]
    await amos.drain()

    known = [event for event in amos.events(execution_id) if event["type"] == "amos.caller.authenticated.v1"]

    assert known == [
        {
            "type": "amos.caller.authenticated.v1",
            "client": "acme",
            "method": "session",
            "key_id": made.key.id,
        }
    ]
    for path in amos.database.parent.rglob("*"):
        if path.is_file():
            assert seal.encode() not in path.read_bytes(), path


async def test_who_tries_many_keys_is_told_to_wait(amos: GatewayServer):
    """The login counts as every other refusal does: sixty a minute from one address."""
    await make(amos, "acme", "search")

    tries = [await amos.client.post("/console/login", json={"key": "guess"}) for _ in range(61)]
    await asyncio.sleep(0)
    await amos.drain()

    assert [one.status_code for one in tries] == [401] * 60 + [429]
    assert int(tries[-1].headers["retry-after"]) > 0


async def test_strangers_who_are_served_may_search_and_nothing_else(tmp_path, tavily: TavilySimulator):
    """Where callers without a key are served, they are all one client: none sees the calls of the others."""
    async with serving(tmp_path, tavily=tavily, anonymous_per_minute=5) as amos:
        await amos.drain()
        await make(amos, "acme", "search")
        shown = await amos.client.get("/?q=tide+tables")
        (execution_id,) = ids_in(shown)
        await amos.drain()
        others = [
            await amos.client.get(path)
            for path in ("/console/executions", f"/console/executions/{execution_id}", "/console/live")
        ]

    assert (shown.status_code, 'href="/console/login"' in shown.text) == (200, True)
    assert [one.status_code for one in others] == [303] * 3


async def test_who_searches_too_often_is_told_when_to_try_again(tmp_path, tavily: TavilySimulator):
    """The page of a 429 says it in words and has the header, as the answer of the API has."""
    async with serving(tmp_path, tavily=tavily, anonymous_per_minute=1) as amos:
        await amos.drain()
        await make(amos, "acme", "search")
        first, second = [await amos.client.get("/?q=tide+tables") for _ in range(2)]

    assert (first.status_code, second.status_code) == (200, 429)
    assert 1 <= int(second.headers["retry-after"]) <= 60
    assert f"Retry after {second.headers['retry-after']} seconds." in second.text
