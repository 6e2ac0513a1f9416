"""Keys on the real server: who is let in and who is not, while keys change and while the database is away."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import tavily as tavily_python
from tavily import errors as tavily_errors

from api.keys import key_admin
from orchestrator.api_keys import checksum, generate
from orchestrator.key_admin import KeyWish, NewKey
from tests.support.gateway_server import GatewayServer, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from tests.support.tavily_simulator import TavilySimulator

ALL = ("search", "extract", "refresh", "reports", "admin")


@pytest.fixture
async def amos(tmp_path, tavily: TavilySimulator) -> AsyncIterator[GatewayServer]:
    """A gateway on a migrated database, without keys yet."""
    async with serving(tmp_path, tavily=tavily) as server:
        await server.drain()
        yield server


async def make(amos: GatewayServer, client: str = "acme", **wish: object) -> NewKey:
    """A key, made where the server runs."""
    assert amos.gateway.keys is not None
    return await amos.gateway.keys.create(KeyWish(client=client, **wish), by="test")  # type: ignore[arg-type]


def bearer(raw: str) -> dict[str, str]:
    """The header that shows a key."""
    return {"Authorization": f"Bearer {raw}"}


def forged(key_id: str) -> str:
    """A key with this id, a right checksum and a wrong secret."""
    body = f"amos_live_{key_id}_{'A' * 30}"
    return body + checksum(body)


async def search(amos: GatewayServer, raw: str, query: str = "tide tables") -> httpx.Response:
    """A search with this key."""
    return await amos.search(query, headers=bearer(raw))


async def test_every_wrong_key_is_refused_and_counted(amos: GatewayServer, tavily: TavilySimulator):
    """Each reason has its code in the counts; no provider hears of it, and nothing of a key is said."""
    live, soon = await make(amos), await make(amos, expires_in_s=0.05)
    revoked, old = await make(amos), await make(amos)
    assert amos.gateway.keys is not None
    await amos.gateway.keys.revoke(revoked.key.id, by="test")
    await amos.gateway.keys.rotate(old.key.id, overlap_s=0, by="test")
    await asyncio.sleep(0.06)
    typo = live.raw[:-1] + ("a" if live.raw[-1] != "a" else "b")
    wrong = {
        "malformed_key": live.raw[:-5],
        "bad_checksum": typo,
        "unknown_key": generate(),
        "wrong_secret": forged(live.key.id),
        "expired_key": soon.raw,
        "revoked_key": revoked.raw,
        "rotated_key": old.raw,
        "several_keys": f"{live.raw}, Bearer {old.raw}",
    }

    answers = {reason: await search(amos, raw) for reason, raw in wrong.items()}
    answers["no_credential"] = await amos.search("tide tables")

    for answer in answers.values():
        assert answer.status_code == 401
        assert "amos_live_" not in answer.text.replace("amos_live_ and", "").replace("amos_live_...", "")
    assert (
        answers["unknown_key"].json()["detail"]["error"] == answers["wrong_secret"].json()["detail"]["error"]
    )
    assert tavily.count == 0
    await asyncio.sleep(1.1)  # counts are written once a second
    await amos.drain()
    counted = Counter[str]()
    for event in amos.events("callers"):
        counted[event["reason"]] += event["count"]
    assert counted == dict.fromkeys(answers, 1)


async def test_calls_are_on_record_under_their_client(amos: GatewayServer):
    """The execution names client and key id, and so does the row reports are made of."""
    new = await make(amos, "acme")

    answer = await search(amos, new.raw)

    await amos.drain()
    execution = answer.json()["amos"]["execution_id"]
    known = [event for event in amos.events(execution) if event["type"] == "amos.caller.authenticated.v1"]
    assert known == [
        {"type": "amos.caller.authenticated.v1", "client": "acme", "method": "key", "key_id": new.key.id}
    ]
    assert amos.frames(execution)[-1]["client"] == "acme"


async def test_a_refusal_for_want_of_a_scope_is_on_record(amos: GatewayServer):
    """A known client that may not do this has an execution that says so."""
    new = await make(amos, "acme", scopes=("extract",))

    refused = await search(amos, new.raw)

    assert refused.status_code == 403
    await amos.drain()
    (frame,) = [frame for frame in amos.frames() if frame["error"]]
    assert (frame["error"], frame["client"]) == ("permission_denied", "acme")


async def test_both_keys_open_during_a_rotation(amos: GatewayServer):
    """Two live keys, so that nobody is locked out while the new one is brought around."""
    old = await make(amos)
    assert amos.gateway.keys is not None
    new = await amos.gateway.keys.rotate(old.key.id, overlap_s=1.0, by="test")

    assert [(await search(amos, raw)).status_code for raw in (old.raw, new.raw)] == [200, 200]
    await asyncio.sleep(1.0)
    assert [(await search(amos, raw)).status_code for raw in (old.raw, new.raw)] == [401, 200]


async def test_a_key_revoked_elsewhere_is_refused_within_five_seconds(amos: GatewayServer):
    """Another process on the same database ends a key that is in use here."""
    new = await make(amos)
    assert (await search(amos, new.raw)).status_code == 200

    async with key_admin(amos.settings) as elsewhere:
        await elsewhere.revoke(new.key.id, by="test")
    revoked_at = time.monotonic()
    while (await search(amos, new.raw)).status_code == 200:
        assert time.monotonic() - revoked_at < 5.0
        await asyncio.sleep(0.05)


async def test_the_first_key_made_elsewhere_closes_the_door(amos: GatewayServer):
    """A server that knew only its local operator asks for a key as soon as one was made beside it."""
    assert (await amos.search("tide tables")).status_code == 200

    async with key_admin(amos.settings) as elsewhere:
        new = await elsewhere.create(KeyWish(client="acme"), by="test")
    made_at = time.monotonic()
    while (await amos.search("tide tables")).status_code == 200:
        assert time.monotonic() - made_at < 5.0
        await asyncio.sleep(0.05)

    assert (await search(amos, new.raw)).status_code == 200


@contextlib.contextmanager
def without_database(amos: GatewayServer):
    """The database's file is somewhere else, and something that is none in its place."""
    files = [file for file in amos.database.parent.glob("amos.db*") if file.is_file()]
    for file in files:
        file.rename(file.with_name(f"away-{file.name}"))
    amos.database.mkdir()
    try:
        yield
    finally:
        amos.database.rmdir()
        for file in files:
            file.with_name(f"away-{file.name}").rename(file)


async def test_keys_open_while_the_database_is_away(amos: GatewayServer):
    """Known keys go on opening and wrong ones are refused; health says since when nothing is renewed."""
    new = await make(amos, scopes=ALL)

    with without_database(amos):
        async with asyncio.timeout(10.0):
            while True:
                health = (await amos.client.get("/health", headers=bearer(new.raw))).json()
                (keys,) = [one for one in health["components"] if one["name"] == "keys"]
                if keys["status"] != "ok":
                    break
                await asyncio.sleep(0.1)

        assert keys["status"] == "degraded"
        assert (await search(amos, new.raw, "lighthouse")).status_code == 200
        assert (await search(amos, forged(new.key.id))).status_code == 401
        assert (await amos.search("tide tables")).status_code == 401


async def test_a_start_without_the_database_lets_nobody_in(amos: GatewayServer, tmp_path):
    """Keys that cannot be read are not "none": 503 for everybody, and the instance is not ready."""
    new = await make(amos)
    await amos.drain()

    with without_database(amos):
        # What cannot be opened at all; a folder is taken for "there is none yet".
        amos.database.rmdir()
        amos.database.write_bytes(b"no database" * 1_000)
        async with serving(
            tmp_path / "second", database_url=f"sqlite:///{amos.database}", key_pepper="p" * 32
        ) as second:
            for answer in (await search(second, new.raw), await second.search("tide tables")):
                assert answer.status_code == 503
                assert "could not be read" in answer.json()["detail"]["error"]
                assert "retry-after" in answer.headers
            assert (await second.client.get("/readyz")).status_code == 503
            journal = b"".join(file.read_bytes() for file in second.settings.data_dir.glob("journal/*.seg"))
            assert b"amos.request." not in journal  # nobody is known: such calls are only counted
            assert (await second.client.get("/livez")).status_code == 200
        amos.database.unlink()
        amos.database.mkdir()


async def test_the_official_tavily_client_shows_its_key(amos: GatewayServer):
    """Tavily's own client works with a key of ours, and raises its own error for a wrong one."""
    new = await make(amos)

    def ask(raw: str) -> dict[str, object]:
        client = tavily_python.TavilyClient(api_key=raw, api_base_url=amos.base_url)
        found: dict[str, object] = client.search("tide tables")
        return found

    assert (await asyncio.to_thread(ask, new.raw))["results"]
    with pytest.raises(tavily_errors.InvalidAPIKeyError):
        await asyncio.to_thread(ask, generate())
    unable = await make(amos, scopes=("extract",))
    with pytest.raises(tavily_errors.ForbiddenError, match="lacks the scope search"):
        await asyncio.to_thread(ask, unable.raw)


async def test_a_flood_of_wrong_keys_writes_only_counts(amos: GatewayServer):
    """Whatever strangers send, the log grows by one fact a reason and second; callers are still served."""
    new = await make(amos)
    await amos.drain()
    before = len(amos.frames())
    ends_at = time.monotonic() + 3.0
    statuses = Counter[int]()

    def is_on() -> bool:
        """For three seconds, and on a busy machine until it is a flood."""
        return time.monotonic() < ends_at or statuses.total() <= 100

    async def stranger() -> None:
        while is_on():
            statuses[(await search(amos, generate())).status_code] += 1

    flood = [asyncio.create_task(stranger()) for _ in range(8)]
    answers = 0
    while is_on():
        assert (await search(amos, new.raw)).status_code == 200
        answers += 1
        await asyncio.sleep(0.1)
    await asyncio.gather(*flood)
    await asyncio.sleep(1.1)

    await amos.drain()
    grown = len(amos.frames()) - before
    assert set(statuses) <= {401, 429}  # who comes too often is not even told what is wrong
    assert sum(event["count"] for event in amos.events("callers")) == statuses.total() > 100
    assert (
        grown <= answers * 2 + 12
    )  # one frame a search, two with a paid call; one count a reason and second


@pytest.mark.parametrize(("scope", "calls"), [("shared", 1), ("client", 2)])
async def test_answers_are_shared_among_clients_or_not(tmp_path, tavily: TavilySimulator, scope, calls):
    """AMOS_CACHE_SCOPE says whose answers a caller may get; two keys of one client are one client."""
    async with serving(tmp_path, tavily=tavily, cache_scope=scope) as amos:
        await amos.drain()
        keys = [await make(amos, client) for client in ("acme", "acme", "other")]

        for key in keys:
            assert (await search(amos, key.raw)).status_code == 200

    assert tavily.count == calls


async def test_an_age_is_not_heeded_without_the_scope(amos: GatewayServer, tavily: TavilySimulator):
    """A key that may not refresh cannot have answers fetched anew by a small max-age, and is told so."""
    plain, refresher = await make(amos), await make(amos, scopes=("search", "refresh"))
    await search(amos, plain.raw)
    await asyncio.sleep(1.1)

    unheeded, heeded = [
        await amos.search("tide tables", {**bearer(key.raw), "Cache-Control": "max-age=1"})
        for key in (plain, refresher)
    ]

    assert (unheeded.json()["amos"]["cache"], unheeded.headers["age"]) == ("l1", "1")
    assert "max-age was not heeded" in unheeded.json()["amos"]["notes"][0]
    assert (heeded.json()["amos"]["cache"], heeded.json()["amos"]["notes"]) == ("miss", [])
    assert tavily.count == 2
