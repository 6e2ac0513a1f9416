"""`/providers`: who may, what is shown, and that a bad body changes nothing."""

from __future__ import annotations

import pytest

from orchestrator.facts import PROVIDERS_STREAM
from tests.support.keys import Keys
from tests.support.memory_gateway import served
from tests.support.providers import Instance

WIKI = {"name": "wiki", "kind": "engine"}


def bearer(raw: str) -> dict[str, str]:
    """The header that shows a key."""
    return {"Authorization": f"Bearer {raw}"}


@pytest.fixture
async def here():
    """The list of an instance."""
    instance = Instance()
    await instance.book.refresh()
    yield instance
    await instance.aclose()


@pytest.fixture
async def client(here):
    """A client of the application, as from this machine."""
    async with served(listed=here) as (_, client):
        yield client


async def test_a_provider_is_registered_changed_and_removed(client, here):
    """Each answer is the provider as it is then; the list is in the order in which they are asked."""
    made = await client.post("/providers", json={**WIKI, "priority": 50, "options": {"results": 2}})
    assert made.status_code == 201
    assert made.json() == {
        "name": "wiki",
        "kind": "engine",
        "priority": 50,
        "enabled": True,
        "source": "runtime",
        "options": {"results": 2},
        "status": "serving",
        "detail": "",
        "since": pytest.approx(here.clock.now(), abs=60),
        "by": "local",
    }

    changed = await client.patch("/providers/wiki", json={"priority": 150, "enabled": False})
    assert (changed.status_code, changed.json()["status"]) == (200, "disabled")
    listed = (await client.get("/providers")).json()
    assert [one["name"] for one in listed["providers"]] == ["first", "wiki", "local"]
    assert [one["name"] for one in listed["kinds"]] == ["engine"]

    removed = await client.delete("/providers/wiki")
    assert (removed.status_code, removed.json()["name"]) == (200, "wiki")
    assert (await client.delete("/providers/wiki")).status_code == 404


async def test_conflicts_are_409(client):
    """A name that is taken, one of the settings, and the removal of one of those, as problem details."""
    await client.post("/providers", json=WIKI)
    for answer in (
        await client.post("/providers", json=WIKI),
        await client.post("/providers", json={"name": "first", "kind": "engine", "replace": True}),
        await client.delete("/providers/first"),
    ):
        assert answer.status_code == 409
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "provider_conflict"

    assert (await client.post("/providers", json={**WIKI, "replace": True})).status_code == 201


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "empty"),
        ("[]", "JSON object"),
        ("{", "not valid JSON"),
        ('{"name": "\\ud800"}', "not valid Unicode"),
        ("[" * 100_000, "nested too deeply"),
        ('{"kind": "engine"}', "name: is missing"),
        ('{"name": "wiki"}', "kind: is missing"),
        ('{"name": 7, "kind": "engine"}', "name: expected a string"),
        ('{"name": "../x", "kind": "engine"}', "name: expected 1 to 32"),
        ('{"name": "wiki", "kind": "engine", "enable": true}', "unknown field"),
        ('{"name": "wiki", "kind": "no\\nkind"}', "There is no kind"),
        ('{"name": "wiki", "kind": "engine", "priority": "1"}', "priority: expected an integer"),
        ('{"name": "wiki", "kind": "engine", "priority": 1.5}', "priority: expected an integer"),
        ('{"name": "wiki", "kind": "engine", "priority": 1e30}', "priority: expected 0 to"),
        ('{"name": "wiki", "kind": "engine", "options": []}', "options: expected an object"),
        ('{"name": "wiki", "kind": "engine", "options": {"url": 5}}', "options: Expected `str`"),
        ('{"name": "wiki", "kind": "engine", "options": {"url": "http://u:p@h"}}', "holds a secret"),
        ('{"name": "wiki", "kind": "engine", "options": {"url": "say hush-hush"}}', "holds a secret"),
        ('{"name": "wiki", "kind": "engine", "options": {"extra": "%s"}}' % ("x" * 9_000), "bytes"),
        ('{"name": "wiki", "kind": "engine", "options": {"extra": %s}}' % ("[" * 99 + "]" * 99), "deeper"),
    ],
)
async def test_a_bad_body_is_told_and_changes_nothing(client, here, body, words):
    """Which field is wrong and what it should be, as problem details that repeat no secret."""
    refused = await client.post("/providers", content=body)

    assert refused.status_code == 400
    assert refused.headers["content-type"] == "application/problem+json"
    assert words in refused.json()["detail"]
    assert "hush-hush" not in refused.text
    assert "u:p" not in refused.text
    assert here.journal.of(PROVIDERS_STREAM) == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "empty"),
        ("{}", "give priority or enabled"),
        ('{"enabled": "yes"}', "enabled: expected true or false"),
        ('{"priority": -1}', "priority: expected 0 to"),
        ('{"name": "other"}', "unknown field"),
    ],
)
async def test_a_bad_change_is_told_and_changes_nothing(client, here, body, words):
    """The same for changes."""
    refused = await client.patch("/providers/first", content=body)

    assert refused.status_code == 400
    assert words in refused.json()["detail"]
    assert here.journal.of(PROVIDERS_STREAM) == []


async def test_a_body_beyond_all_bounds(client, here):
    """A megabyte of options is no body."""
    refused = await client.post("/providers", content=b'{"name": "' + b"x" * 1_100_000 + b'"}')

    assert refused.status_code == 413
    assert here.journal.of(PROVIDERS_STREAM) == []


async def test_only_an_admin_sees_and_changes_them(here):
    """Options name machines inside: without the scope nobody sees them, and nobody changes anything."""
    keys = Keys()
    await keys.ring.refresh()
    boss = await keys.make("boss", scopes=("admin",))
    reader = await keys.make("reader", scopes=("search", "extract", "refresh", "reports"))
    asked = [("GET", "/providers"), ("POST", "/providers"), ("PATCH", "/providers/first")]
    asked.append(("DELETE", "/providers/first"))
    async with served(keys=keys, listed=here) as (_, client):
        for method, path in asked:
            stranger = await client.request(method, path, json=WIKI)
            known = await client.request(method, path, json=WIKI, headers=bearer(reader.raw))
            assert (stranger.status_code, known.status_code) == (401, 403)
        assert here.journal.of(PROVIDERS_STREAM) == []
        made = await client.post("/providers", json=WIKI, headers=bearer(boss.raw))

    assert (made.status_code, made.json()["by"]) == (201, "boss")


async def test_what_cannot_be_recorded_is_503(client, here):
    """An acknowledged change is durable: with a full journal there is none."""
    here.journal.is_full = True

    refused = await client.post("/providers", json=WIKI)

    assert (refused.status_code, refused.json()["code"]) == (503, "event_log_unavailable")
    assert here.asked == ["first", "local"]


async def test_unknown_names_and_methods(client):
    """Names nobody has, and methods nobody offers."""
    assert (await client.patch("/providers/x%20y", json={"enabled": True})).status_code == 404
    assert (await client.get("/providers/first")).status_code == 405
    assert (await client.put("/providers", json=WIKI)).status_code == 405
