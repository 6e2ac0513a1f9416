"""`/keys`, and what each scope opens elsewhere."""

from __future__ import annotations

import pytest

from orchestrator.api_keys import PATTERN
from tests.support.keys import Keys
from tests.support.memory_gateway import served

ALL = ("search", "extract", "refresh", "reports", "admin")


def bearer(raw: str) -> dict[str, str]:
    """The header that shows a key."""
    return {"Authorization": f"Bearer {raw}"}


@pytest.fixture
async def keys():
    """Keys in memory, seen by the ring, of which there are none."""
    keys = Keys()
    await keys.ring.refresh()
    return keys


@pytest.fixture
async def client(keys):
    """A client of the application, as from this machine."""
    async with served(keys=keys) as (_, client):
        yield client


async def test_the_local_operator_makes_the_first_key(client, keys):
    """On a machine without keys its owner makes one over HTTP; from then on everybody needs one."""
    made = await client.post("/keys", json={"client": "boss", "scopes": list(ALL)})

    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    raw = made.json()["key"]
    assert (await client.get("/keys")).status_code == 401
    listed = (await client.get("/keys", headers=bearer(raw))).json()["keys"]
    assert [(key["id"], key["client"], key["status"]) for key in listed] == [
        (made.json()["id"], "boss", "live")
    ]


async def test_a_key_is_shown_once_and_its_digest_never(client, keys):
    """The list has all there is to know about keys, and nothing that opens or could be tried out."""
    boss = await keys.make("boss", scopes=ALL)
    made = await client.post("/keys", json={"client": "acme"}, headers=bearer(boss.raw))
    text = (await client.get("/keys", headers=bearer(boss.raw))).text

    for new in (boss.raw, made.json()["key"]):
        assert new not in text
        assert new[23:] not in text
    assert "digest" not in made.text + text
    assert boss.key.digest not in text


async def test_rotation_and_revocation(client, keys):
    """A successor comes with its key; a revoked key is refused at once; revoking again is no error."""
    boss, old = await keys.make("boss", scopes=ALL), await keys.make("acme")

    rotated = await client.post(
        f"/keys/{old.key.id}/rotate", json={"overlap_s": 60}, headers=bearer(boss.raw)
    )
    assert (rotated.status_code, rotated.json()["replaces"]) == (201, old.key.id)
    for raw in (old.raw, rotated.json()["key"]):
        answer = await client.post("/search", json={"query": "tides"}, headers=bearer(raw))
        assert answer.status_code == 200

    for _ in range(2):
        revoked = await client.delete(f"/keys/{old.key.id}", headers=bearer(boss.raw))
        assert (revoked.status_code, revoked.json()["status"]) == (200, "revoked")
    refused = await client.post("/search", json={"query": "tides"}, headers=bearer(old.raw))
    assert refused.status_code == 401
    assert "revoked" in refused.json()["detail"]["error"]


async def test_a_rotation_without_a_body_overlaps_a_day(client, keys):
    """The usual case needs no body."""
    boss, old = await keys.make("boss", scopes=ALL), await keys.make("acme")

    assert (await client.post(f"/keys/{old.key.id}/rotate", headers=bearer(boss.raw))).status_code == 201
    ends = {key.id: key.expires_at for key in await keys.admin.list()}
    assert ends[old.key.id] == pytest.approx(keys.clock.now() + 86_400, abs=60)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "empty"),
        ("[]", "JSON object"),
        ("{}", "client: is missing"),
        ('{"client": 7}', "client: expected a string"),
        ('{"client": "a b"}', "client: expected 1 to 64"),
        ('{"client": "a", "scope": ["search"]}', "unknown field"),
        ('{"client": "a", "scopes": "search"}', "scopes: expected a list"),
        ('{"client": "a", "scopes": ["root"]}', "scopes: expected some of"),
        ('{"client": "a", "scopes": []}', "may do nothing"),
        ('{"client": "a", "expires_in_s": -1}', "expires_in_s"),
        ('{"client": "a", "expires_in_s": "90d"}', "expires_in_s: expected a number"),
        ('{"client": "a", "limits": {"minute": 5}}', "limits.per_minute"),
        ('{"client": "a", "limits": {"burst": 0}}', "limits.burst"),
        ('{"client": "a", "limits": {"burst": 1.5}}', "limits.burst: expected an integer"),
        ('{"client": "a", "limits": 5}', "limits: expected an object"),
    ],
)
async def test_a_bad_body_is_told_and_changes_nothing(client, keys, body, words):
    """Which field is wrong and what it should be, as problem details."""
    refused = await client.post("/keys", content=body)

    assert refused.status_code == 400
    assert refused.headers["content-type"] == "application/problem+json"
    assert words in refused.json()["detail"]
    assert await keys.admin.list() == ()


async def test_unknown_keys_and_methods(client, keys):
    """An id nobody has is 404; what is not offered says what is."""
    boss = await keys.make("boss", scopes=ALL)

    for method, path in (("DELETE", "/keys/nosuch"), ("POST", "/keys/nosuch/rotate")):
        answer = await client.request(method, path, headers=bearer(boss.raw))
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    allowed = (await client.put("/keys", headers=bearer(boss.raw))).headers["allow"]
    assert set(allowed.split(", ")) == {"GET", "HEAD", "POST"}


async def test_each_scope_opens_its_doors(client, keys):
    """What is missing is named in words and in WWW-Authenticate; Tavily's paths answer in its envelope."""
    made = {scope: await keys.make(scope, scopes=(scope,)) for scope in ALL}
    needs = {
        ("POST", "/search"): "search",
        ("POST", "/extract"): "extract",
        ("GET", "/reports/health"): "reports",
        ("GET", "/health"): "reports",
        ("GET", "/keys"): "admin",
    }
    body = {"/search": {"query": "tides"}, "/extract": {"urls": ["https://almanac.example/tides"]}}
    for (method, path), needed in needs.items():
        for scope, new in made.items():
            answer = await client.request(method, path, json=body.get(path), headers=bearer(new.raw))
            assert (answer.status_code == 200) is (scope == needed), (path, scope)
            if scope == needed:
                continue
            assert answer.status_code == 403
            assert answer.headers["www-authenticate"] == (
                f'Bearer realm="amos", error="insufficient_scope", scope="{needed}"'
            )
            detail = answer.json()["detail"]
            sentence = detail["error"] if path in body else detail
            assert f"lacks the scope {needed}" in sentence


async def test_no_cache_is_refused_without_refresh(client, keys):
    """The refusal says what it is about, instead of answering from the cache as if nothing was asked."""
    new = await keys.make()

    refused = await client.post(
        "/search", json={"query": "tides"}, headers={**bearer(new.raw), "Cache-Control": "no-cache"}
    )

    assert refused.status_code == 403
    assert "refresh" in refused.json()["detail"]["error"]
    assert 'scope="search refresh"' in refused.headers["www-authenticate"]


async def test_a_client_sees_its_own_executions(client, keys):
    """Another client's execution does not exist for it; who has the scope reports sees all."""
    mine, yours = await keys.make("acme"), await keys.make("bits")
    reader = await keys.make("auditor", scopes=("reports",))
    answer = await client.post("/search", json={"query": "tides"}, headers=bearer(mine.raw))
    path = f"/executions/{answer.json()['amos']['execution_id']}"

    seen = {
        new.key.client: (await client.get(path, headers=bearer(new.raw))).status_code
        for new in (mine, yours, reader)
    }

    assert seen == {"acme": 200, "bits": 404, "auditor": 200}


async def test_a_key_may_come_in_three_ways(client, keys):
    """As a bearer, as X-API-Key, and in the body as Tavily's clients once sent it; a header wins."""
    new, dead = await keys.make(), await keys.make()
    await keys.admin.revoke(dead.key.id, by="test")

    async def status(headers: dict[str, str], **body: str) -> int:
        return (await client.post("/search", json={"query": "tides", **body}, headers=headers)).status_code

    assert await status(bearer(new.raw)) == 200
    assert await status({"X-API-Key": new.raw}) == 200
    assert await status({"Authorization": f"bearer  {new.raw}"}) == 200
    assert await status({}, api_key=new.raw) == 200
    assert await status(bearer(new.raw), api_key=dead.raw) == 200
    assert await status(bearer(dead.raw), api_key=new.raw) == 401
    assert await status({"X-API-Key": dead.raw}, api_key=new.raw) == 401
    assert await status({**bearer(new.raw), "X-API-Key": new.raw}) == 200


@pytest.mark.parametrize(
    "names", [("Authorization", "Authorization"), ("X-API-Key", "X-API-Key"), ("Authorization", "X-API-Key")]
)
async def test_two_keys_at_once_are_refused(client, keys, names):
    """Nobody can tell which one is meant: 401 that says so."""
    one, two = await keys.make(), await keys.make()
    headers = [
        (name, f"Bearer {new.raw}" if name == "Authorization" else new.raw)
        for name, new in zip(names, (one, two), strict=True)
    ]

    refused = await client.post("/search", json={"query": "tides"}, headers=headers)

    assert refused.status_code == 401
    assert "Several API keys" in refused.json()["detail"]["error"]


async def test_a_refused_key_is_challenged(client, keys):
    """401 names the scheme; where a key was shown it says that the key is the trouble (RFC 6750, 3.1)."""
    new = await keys.make()

    without = await client.post("/search", json={"query": "tides"})
    wrong = await client.post("/search", json={"query": "tides"}, headers=bearer(new.raw[:-1]))

    assert without.headers["www-authenticate"] == 'Bearer realm="amos"'
    assert wrong.headers["www-authenticate"] == 'Bearer realm="amos", error="invalid_token"'
    assert PATTERN not in wrong.text
    assert new.raw[:-1] not in wrong.text


async def test_keys_out_of_reach_are_a_503(client, keys):
    """An administrator learns that the database is away; nothing was changed."""
    boss = await keys.make("boss", scopes=ALL)
    keys.store.is_away = True

    answer = await client.post("/keys", json={"client": "acme"}, headers=bearer(boss.raw))

    assert (answer.status_code, answer.json()["code"]) == (503, "keys_unavailable")
    assert "retry-after" in answer.headers
