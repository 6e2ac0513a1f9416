"""`/cache`: who may look and who may clear, and what they are told."""

from __future__ import annotations

import pytest

from tests.support.keys import Keys
from tests.support.memory_gateway import served


@pytest.fixture
async def keys():
    """Keys in memory, seen by the ring."""
    keys = Keys()
    await keys.ring.refresh()
    return keys


@pytest.fixture
async def opened(keys):
    """A gateway with a tier that is shared, and a client of its application, as from this machine."""
    async with served(keys=keys, shares=True) as (memory, client):
        yield memory, client


def bearer(raw: str) -> dict[str, str]:
    """The header that shows a key."""
    return {"Authorization": f"Bearer {raw}"}


async def test_the_tiers_are_shown(opened):
    """Each has its entries, its bytes and its bounds; nobody keeps the answer."""
    memory, client = opened
    await client.post("/search", json={"query": "tide tables"})

    answer = await client.get("/cache")

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    own, shared = answer.json()["tiers"]
    assert own == {
        "tier": "l1",
        "status": "ok",
        "detail": "",
        "entries": 1,
        "bytes": memory.cache.size_bytes,
        "bytes_max": 10_000_000,
        "bytes_configured": 10_000_000,
        "evictions": 0,
    }
    assert (shared["tier"], shared["entries"], shared["bytes"]) == ("l2", 3, None)
    assert answer.json()["memory"] is None


async def test_what_was_cleared_is_paid_for_again(opened):
    """After clearing the same question asks the provider; without it, it does not."""
    memory, client = opened
    for _ in range(2):
        await client.post("/search", json={"query": "tide tables"})
    assert len(memory.provider.calls) == 1

    answer = await client.delete("/cache")
    again = await client.post("/search", json={"query": "tide tables"})

    assert answer.json() == {
        "tiers": ["l1", "l2"],
        "entries": {"l1": 1, "l2": 3},
        "elsewhere_within_s": 2.0,
    }
    assert again.json()["amos"]["cache"] == "miss"
    assert len(memory.provider.calls) == 2


async def test_one_tier_can_be_named(opened):
    """What the other holds stays."""
    memory, client = opened
    await client.post("/search", json={"query": "tide tables"})

    answer = await client.delete("/cache", params={"tier": "l2"})

    assert answer.json()["entries"] == {"l2": 3}
    assert len(memory.cache) == 1


async def test_an_unknown_tier_is_refused(opened):
    """With a sentence that names those there are."""
    _, client = opened

    answer = await client.delete("/cache", params={"tier": "l3"})

    assert answer.status_code == 400
    assert "l1, l2" in answer.text


@pytest.mark.parametrize(
    ("scope", "looks", "clears"),
    [("search", 403, 403), ("reports", 200, 403), ("admin", 403, 200), ("", 401, 401)],
)
async def test_looking_needs_reports_and_clearing_admin(opened, keys, scope, looks, clears):
    """Each scope opens its own door, and without a key none opens once there are keys."""
    memory, client = opened
    made = await keys.make("acme", scopes=(scope or "search",))
    headers = bearer(made.raw) if scope else {}

    assert (await client.get("/cache", headers=headers)).status_code == looks
    assert (await client.delete("/cache", headers=headers)).status_code == clears
    assert bool(memory.shared.entries) == (clears != 200)


async def test_the_record_says_who_cleared(opened, keys):
    """The fact has the client of the key, the tiers and how many answers are gone."""
    memory, client = opened
    boss = await keys.make("boss", scopes=("admin",))

    await client.delete("/cache", headers=bearer(boss.raw))
    await memory.recorder.aclose()

    facts = [
        envelope.event
        for frame in memory.journal.frames
        for envelope in frame.events
        if frame.stream == "cache:all"
    ]
    assert [(fact.by, fact.tiers, fact.entries) for fact in facts] == [("boss", ("l1", "l2"), 3)]


async def test_a_shared_tier_out_of_reach_is_said(opened):
    """Looking shows it as degraded; clearing is refused for now, and says so."""
    memory, client = opened
    memory.shared.is_down = True

    seen = await client.get("/cache")
    cleared = await client.delete("/cache")

    assert [tier["status"] for tier in seen.json()["tiers"]] == ["ok", "degraded"]
    assert cleared.status_code == 503


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_other_methods_are_refused(opened, method):
    """With a list of those there are."""
    _, client = opened

    answer = await client.request(method, "/cache")

    assert answer.status_code == 405
    assert {"GET", "DELETE"} <= set(answer.headers["allow"].split(", "))
