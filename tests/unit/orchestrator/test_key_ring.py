"""Keys in memory: who is let in, who is told what, and what happens while the database is away."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from orchestrator import key_ring
from orchestrator.api_keys import checksum, digest, generate, id_of
from orchestrator.errors import KeysUnavailable, Unauthenticated
from orchestrator.events import CallerAuthenticated
from orchestrator.key_ring import REFRESH_S, USES_EVERY_S, KeyRing
from orchestrator.principals import OwnLimits
from tests.support.clock import LoopClock
from tests.support.keys import PEPPER, Keys
from tests.support.memory_api_keys import MemoryApiKeys

HOUR_S = 3_600.0


@asynccontextmanager
async def running(store: MemoryApiKeys | None = None):
    """Keys whose ring looks for changes by itself."""
    keys = Keys(LoopClock(), store)
    await keys.ring.start()
    try:
        yield keys
    finally:
        await keys.ring.aclose()


def refusal(ring: KeyRing, credential: str) -> Unauthenticated:
    """How the ring turns this away."""
    with pytest.raises(Unauthenticated) as refused:
        ring.identify(credential)
    return refused.value


async def test_a_key_opens_for_its_client():
    """Whoever shows a key is its client, with its scopes and limits; the fact names the key."""
    async with running() as keys:
        new = await keys.make("acme", scopes=("search", "refresh"), limits=OwnLimits(per_minute=7))

        holder = keys.ring.identify(new.raw)

    assert (holder.principal.client, holder.principal.key_id) == ("acme", new.key.id)
    assert holder.principal.scopes == {"search", "refresh"}
    assert holder.principal.limits == OwnLimits(per_minute=7)
    assert not holder.principal.is_unlimited
    assert holder.fact == CallerAuthenticated(client="acme", method="key", key_id=new.key.id)


async def test_the_next_call_pays_no_hmac(monkeypatch):
    """A verified key is known again by one look into memory, until keys change."""
    async with running() as keys:
        new = await keys.make()
        first = keys.ring.identify(new.raw)
        hashed = []
        monkeypatch.setattr(key_ring, "digest", lambda *parts: hashed.append(parts) or digest(*parts))

        assert keys.ring.identify(new.raw) is first
        assert hashed == []
        await keys.make("other")
        assert keys.ring.identify(new.raw).principal == first.principal
        assert len(hashed) == 1


async def test_wrong_keys_are_not_remembered():
    """A flood of made-up keys takes no memory."""
    async with running() as keys:
        await keys.make()
        for _ in range(1_000):
            refusal(keys.ring, generate())

        assert keys.ring._holders == {}


async def test_what_is_no_key_is_told():
    """Whoever mistyped or cut a key learns it, without any store being asked."""
    async with running() as keys:
        new = await keys.make()
        last = "a" if new.raw[-1] != "a" else "b"

        assert refusal(keys.ring, new.raw[:-1]).reason == "malformed_key"
        assert refusal(keys.ring, "tvly-0123").reason == "malformed_key"
        assert refusal(keys.ring, new.raw[:-1] + last).reason == "bad_checksum"
        assert refusal(keys.ring, f"{new.raw}, {new.raw}").reason == "several_keys"


async def test_a_stranger_does_not_learn_which_ids_exist():
    """A wrong secret for an existing key and an unknown id are refused in the same words."""
    async with running() as keys:
        new = await keys.make()
        forged = f"amos_live_{new.key.id}_{'0' * 30}"
        forged += checksum(forged)

        wrong, unknown = refusal(keys.ring, forged), refusal(keys.ring, generate())

    assert (wrong.reason, unknown.reason) == ("wrong_secret", "unknown_key")
    assert wrong.message == unknown.message
    assert "revoked" not in wrong.message


async def test_an_unknown_id_costs_the_same_hmac(monkeypatch):
    """How long a refusal takes does not tell whether an id exists."""
    async with running() as keys:
        await keys.make()
        hashed = []
        monkeypatch.setattr(key_ring, "digest", lambda *parts: hashed.append(parts) or digest(*parts))

        refusal(keys.ring, generate())

        assert len(hashed) == 1


async def test_an_expired_key_is_refused_from_that_moment_on():
    """Also one that was in use a moment before, without any news from the store."""
    async with running() as keys:
        new = await keys.make(expires_in_s=1.0)
        keys.ring.identify(new.raw)

        await keys.clock.sleep(1.0)

        assert refusal(keys.ring, new.raw).reason == "expired_key"


async def test_a_revoked_key_is_refused_within_five_seconds():
    """A revocation made elsewhere is in force here after one look."""
    async with running() as keys, running(keys.store) as elsewhere:
        new = await keys.make()
        await asyncio.sleep(REFRESH_S + 0.1)
        elsewhere.ring.identify(new.raw)

        await keys.admin.revoke(new.key.id, by="test")

        assert refusal(keys.ring, new.raw).reason == "revoked_key"
        await asyncio.sleep(REFRESH_S + 0.1)
        assert refusal(elsewhere.ring, new.raw).reason == "revoked_key"
    assert REFRESH_S + key_ring.LOOK_S_MAX < 5.0


async def test_both_keys_open_during_a_rotation():
    """Until the overlap ends old and new open; then the old one says that it was replaced."""
    async with running() as keys:
        old = await keys.make()
        new = await keys.admin.rotate(old.key.id, overlap_s=HOUR_S, by="test")

        assert keys.ring.identify(old.raw).principal.client == keys.ring.identify(new.raw).principal.client
        await keys.clock.sleep(HOUR_S)
        assert refusal(keys.ring, old.raw).reason == "rotated_key"
        keys.ring.identify(new.raw)


async def test_keys_are_read_only_when_they_changed():
    """A look that finds nothing new reads one number; a last use is nothing new."""
    async with running() as keys:
        new = await keys.make()
        keys.ring.identify(new.raw)
        reads = keys.store.reads

        await asyncio.sleep(USES_EVERY_S * 3)

        assert keys.store.reads == reads


async def test_keys_open_while_the_database_is_away():
    """What was seen last stays in force, and health can tell since when it is not renewed."""
    async with running() as keys:
        new = await keys.make()
        keys.store.is_away = True
        gone_at = keys.clock.now()

        await asyncio.sleep(600)

        assert keys.ring.identify(new.raw).principal.client == "acme"
        assert keys.ring.fault
        assert gone_at <= keys.ring.since <= gone_at + REFRESH_S + 0.1
        keys.store.is_away = False
        await asyncio.sleep(REFRESH_S + 0.1)
        assert keys.ring.fault == ""


async def test_keys_never_seen_let_nobody_in():
    """A start without the database does not take "I could not look" for "there are none"."""
    store = MemoryApiKeys()
    async with running(store) as before:
        new = await before.make()
    store.is_away = True
    async with running(store) as keys:
        assert not keys.ring.is_known
        with pytest.raises(KeysUnavailable):
            keys.ring.identify(new.raw)
        with pytest.raises(KeysUnavailable):
            len(keys.ring)

        store.is_away = False
        await asyncio.sleep(REFRESH_S + 0.1)
        assert keys.ring.identify(new.raw).principal.client == "acme"


async def test_a_database_that_vanishes_is_away():
    """Keys that were seen do not cease to exist because somebody deleted the file they were in."""

    class Vanishing(MemoryApiKeys):
        """A store that can lose its place for keys."""

        has_vanished = False

        async def revision(self) -> int:
            return -1 if self.has_vanished else await super().revision()

    store = Vanishing()
    async with running(store) as keys:
        new = await keys.make()
        store.has_vanished = True
        await asyncio.sleep(10)
        assert "has gone" in keys.ring.fault
        assert len(keys.ring) == 1
        keys.ring.identify(new.raw)


async def test_a_database_without_the_keys_is_away():
    """An empty database in place of the one with keys does not open the door to whoever needs none."""
    store = MemoryApiKeys()
    async with running(store) as keys:
        new = await keys.make()
        store._keys.clear()
        store._revision = 0
        await asyncio.sleep(10)
        assert "has lost" in keys.ring.fault
        assert len(keys.ring) == 1
        keys.ring.identify(new.raw)

        other = await keys.make("other")
        assert keys.ring.fault == ""
        assert refusal(keys.ring, new.raw).reason == "unknown_key"
        keys.ring.identify(other.raw)


async def test_a_database_that_hangs_is_away():
    """A look that takes too long is given up, and the next one is made in time."""

    class Hanging(MemoryApiKeys):
        """A store that answers when it is let go."""

        hangs = False

        async def revision(self) -> int:
            if self.hangs:
                await asyncio.sleep(3_600)
            return await super().revision()

    store = Hanging()
    async with running(store) as keys:
        new = await keys.make()
        store.hangs = True
        await asyncio.sleep(30)
        assert "longer than" in keys.ring.fault
        keys.ring.identify(new.raw)
        store.hangs = False
        await asyncio.sleep(REFRESH_S + key_ring.LOOK_S_MAX + 0.1)
        assert keys.ring.fault == ""


async def test_an_unexpected_fault_does_not_end_the_looking():
    """Without the task no key would ever be revoked here: it survives whatever a store does."""

    class Broken(MemoryApiKeys):
        """A store with a bug that goes away."""

        is_broken = False

        async def revision(self) -> int:
            if self.is_broken:
                raise RuntimeError("bug")
            return await super().revision()

    store = Broken()
    async with running(store) as keys:
        new = await keys.make()
        store.is_broken = True
        await asyncio.sleep(10)
        assert "RuntimeError" in keys.ring.fault
        store.is_broken = False
        await store.revoke(new.key.id, keys.clock.now())
        await asyncio.sleep(REFRESH_S + 0.1)
        assert refusal(keys.ring, new.raw).reason == "revoked_key"


async def test_last_use_is_written_once_a_minute():
    """However often a key is used, its last use is one write a minute, and is exact to a minute."""
    async with running() as keys:
        new, idle = await keys.make(), await keys.make("idle")
        for _ in range(30):
            keys.ring.identify(new.raw)
            await asyncio.sleep(1)
        assert [key.last_used_at for key in await keys.admin.list()] == [None, None]

        used_at = keys.clock.now()
        keys.ring.identify(new.raw)
        await asyncio.sleep(USES_EVERY_S)

        uses = {key.id: key.last_used_at for key in await keys.admin.list()}
        assert uses == {new.key.id: pytest.approx(used_at, abs=0.01), idle.key.id: None}


async def test_the_holder_of_a_session_is_the_holder_of_its_key():
    """A door that knows a caller by a session names the key; the fact says that it was not shown."""
    async with running() as keys:
        new = await keys.make("acme", scopes=("search",), limits=OwnLimits(per_minute=7))

        holder = keys.ring.holder_of(new.key.id)

    assert holder.principal == keys.ring.identify(new.raw).principal
    assert holder.fact == CallerAuthenticated(client="acme", method="session", key_id=new.key.id)
    assert (await keys.admin.list())[0].last_used_at is not None


async def test_a_session_ends_with_its_key():
    """Expired, revoked, replaced and unknown: the reason is the one that the key would be given."""
    async with running() as keys:
        expiring, revoked = await keys.make(expires_in_s=HOUR_S), await keys.make()
        await keys.admin.revoke(revoked.key.id, by="test")
        await asyncio.sleep(HOUR_S)

        for key_id, reason in (
            (expiring.key.id, "expired_key"),
            (revoked.key.id, "revoked_key"),
            ("AAAAAAAAAAAA", "unknown_key"),
        ):
            with pytest.raises(Unauthenticated) as ended:
                keys.ring.holder_of(key_id)
            assert ended.value.reason == reason


async def test_the_id_of_a_key_is_no_key():
    """What stands in lists and cookies opens nothing where a key is to be shown, also after a session."""
    async with running() as keys:
        new = await keys.make()
        keys.ring.holder_of(new.key.id)

        assert refusal(keys.ring, new.key.id).reason == "malformed_key"


async def test_keys_never_seen_know_no_session():
    """Before the database was read nobody can be known by a session either."""
    keys = Keys()

    with pytest.raises(KeysUnavailable):
        keys.ring.holder_of("AAAAAAAAAAAA")


async def test_a_change_of_keys_forgets_no_use():
    """A use between two writes is written, whatever happens to keys in between."""
    async with running() as keys:
        new = await keys.make()
        keys.ring.identify(new.raw)
        await keys.make("other")
        await asyncio.sleep(USES_EVERY_S + REFRESH_S)

        uses = {key.client: key.last_used_at for key in await keys.admin.list()}
        assert uses == {"acme": pytest.approx(keys.clock.now(), abs=USES_EVERY_S * 2), "other": None}


async def test_last_uses_wait_for_the_database(caplog):
    """What could not be written is said in the log, and written later; no caller hears of it."""
    async with running() as keys:
        new = await keys.make()
        keys.ring.identify(new.raw)
        keys.store.is_away = True
        await asyncio.sleep(USES_EVERY_S * 2)
        assert "could not be written" in caplog.text
        assert new.raw not in caplog.text

        keys.store.is_away = False
        await asyncio.sleep(USES_EVERY_S + REFRESH_S)

        assert (await keys.admin.list())[0].last_used_at is not None


async def test_the_last_use_is_written_at_the_end():
    """A process that stops in good order leaves nothing unwritten."""
    async with running() as keys:
        new = await keys.make()
        keys.ring.identify(new.raw)

    assert (await keys.admin.list())[0].last_used_at is not None


async def test_another_pepper_makes_a_key_unknown():
    """The database alone is of no use to whoever copies it."""
    async with running() as keys:
        new = await keys.make()
        ring = KeyRing(keys.store, PEPPER[::-1], keys.clock)
        await ring.refresh()

        assert refusal(ring, new.raw).reason == "wrong_secret"
        assert id_of(new.raw) == new.key.id
