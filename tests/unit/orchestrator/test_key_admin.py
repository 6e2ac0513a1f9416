"""Making, rotating and revoking keys: what is refused, what is kept, and what is recorded about it."""

from __future__ import annotations

import pytest

from orchestrator import limits
from orchestrator.api_keys import SCOPES, ApiKey, digest, generate, id_of
from orchestrator.errors import InvalidRequest, KeyNotFound, KeysUnavailable, SettingsError
from orchestrator.facts import (
    KeyCreated,
    KeyRevoked,
    KeyRotated,
)
from orchestrator.key_admin import OVERLAP_S_MAX, KeyAdmin, KeyWish
from orchestrator.principals import OwnLimits
from tests.support.clock import LoopClock
from tests.support.keys import PEPPER, Keys
from tests.support.memory_api_keys import MemoryApiKeys

DAY_S = 86_400.0


async def test_a_key_is_what_was_wished():
    """Client, scopes, end and limits are kept; of the key itself only its digest."""
    keys = Keys(LoopClock())

    new = await keys.make("acme", scopes=("refresh", "search"), expires_in_s=DAY_S, limits=OwnLimits(burst=3))

    (kept,) = await keys.admin.list()
    assert kept == new.key
    assert (kept.id, kept.digest) == (id_of(new.raw), digest(PEPPER, new.raw))
    assert (kept.client, kept.scopes, kept.limits) == ("acme", ("search", "refresh"), OwnLimits(burst=3))
    assert kept.expires_at == pytest.approx(keys.clock.now() + DAY_S)
    assert await keys.facts() == [
        KeyCreated(
            key_id=kept.id, client="acme", scopes=kept.scopes, expires_at=kept.expires_at or 0, by="test"
        )
    ]


async def test_a_key_may_search_and_extract_unless_said_otherwise():
    """The default is what a client of a search service expects, for ever, within everybody's limits."""
    key = (await Keys().make()).key

    assert (key.scopes, key.expires_at, key.limits) == (("search", "extract"), None, None)


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        (KeyWish(client="a b"), "client"),
        (KeyWish(client="a", scopes=("root",)), "scopes"),
        (KeyWish(client="a", expires_in_s=0), "expires_in_s"),
        (KeyWish(client="a", expires_in_s=-1), "expires_in_s"),
        (KeyWish(client="a", expires_in_s=1e12), "expires_in_s"),
        (KeyWish(client="a", expires_in_s=float("nan")), "expires_in_s"),
        (KeyWish(client="a", limits=OwnLimits(per_hour=0)), "limits"),
        (KeyWish(client="a", limits=OwnLimits(per_minute=2**40)), "limits"),
    ],
)
async def test_a_bad_wish_changes_nothing(wish, field):
    """The fault names the field, and no key is made."""
    keys = Keys()

    with pytest.raises(InvalidRequest) as refused:
        await keys.admin.create(wish, by="test")

    assert refused.value.field == field
    assert await keys.admin.list() == ()
    assert await keys.facts() == []


async def test_a_successor_is_like_its_predecessor():
    """A rotation makes a key of the same client, scopes, limits and lifetime, and ends the old one soon."""
    keys = Keys(LoopClock())
    old = await keys.make("acme", scopes=("search",), expires_in_s=30 * DAY_S, limits=OwnLimits(burst=1))
    await keys.clock.sleep(10 * DAY_S)

    new = await keys.admin.rotate(old.key.id, overlap_s=DAY_S, by="boss")

    now = keys.clock.now()
    before, after = await keys.admin.list()
    assert after == new.key
    assert (after.client, after.scopes, after.limits) == ("acme", ("search",), OwnLimits(burst=1))
    assert after.replaces == before.id == old.key.id
    assert after.expires_at == pytest.approx(now + 30 * DAY_S)
    assert before.expires_at == pytest.approx(now + DAY_S)
    assert (await keys.facts())[1] == KeyRotated(
        key_id=after.id,
        replaces=before.id,
        replaced_ends_at=before.expires_at,
        client="acme",
        scopes=("search",),
        expires_at=after.expires_at,
        by="boss",
    )


async def test_an_overlap_lengthens_no_life():
    """A key that ends before the overlap does still ends then."""
    keys = Keys(LoopClock())
    old = await keys.make(expires_in_s=60.0)

    await keys.admin.rotate(old.key.id, by="test")

    assert (await keys.admin.list())[0].expires_at == old.key.expires_at


async def test_a_key_is_rotated_once():
    """Whoever rotates twice by mistake is told the successor; if that was lost and revoked, they may."""
    keys = Keys()
    old = await keys.make()
    new = await keys.admin.rotate(old.key.id, by="test")

    with pytest.raises(InvalidRequest, match=new.key.id):
        await keys.admin.rotate(old.key.id, by="test")

    await keys.admin.revoke(new.key.id, by="test")
    assert (await keys.admin.rotate(old.key.id, by="test")).key.replaces == old.key.id


@pytest.mark.parametrize("overlap_s", [-1.0, OVERLAP_S_MAX + 1, float("nan")])
async def test_an_overlap_has_bounds(overlap_s):
    """Nothing negative, nothing endless."""
    keys = Keys()
    old = await keys.make()

    with pytest.raises(InvalidRequest, match="overlap_s"):
        await keys.admin.rotate(old.key.id, overlap_s=overlap_s, by="test")


async def test_a_dead_key_has_no_successor():
    """Rotation must not bring back what was ended."""
    keys = Keys()
    old = await keys.make()
    await keys.admin.revoke(old.key.id, by="test")

    with pytest.raises(InvalidRequest, match="has ended"):
        await keys.admin.rotate(old.key.id, by="test")


async def test_revoking_twice_is_revoking_once():
    """The second revocation changes nothing and records nothing."""
    keys = Keys(LoopClock())
    key = (await keys.make()).key

    first = await keys.admin.revoke(key.id, by="boss")
    await keys.clock.sleep(5)
    second = await keys.admin.revoke(key.id, by="boss")

    assert first == second
    assert (await keys.facts())[1:] == [KeyRevoked(key_id=key.id, client="acme", by="boss")]


async def test_an_unknown_key_cannot_be_changed():
    """There is nothing to rotate or revoke under a wrong id."""
    keys = Keys()

    with pytest.raises(KeyNotFound):
        await keys.admin.rotate("nosuchkey", by="test")
    with pytest.raises(KeyNotFound):
        await keys.admin.revoke("nosuchkey", by="test")


async def test_a_given_key_is_made_once():
    """Several instances that start with the same file make one key; one revoked meanwhile stays revoked."""
    keys, raw = Keys(), generate()

    assert await keys.admin.ensure(raw, "admin", by="bootstrap")
    assert not await keys.admin.ensure(raw, "admin", by="bootstrap")
    await keys.admin.revoke(id_of(raw), by="test")
    assert not await keys.admin.ensure(raw, "admin", by="bootstrap")

    (kept,) = await keys.admin.list()
    assert (kept.client, kept.scopes) == ("admin", SCOPES)
    assert kept.revoked_at is not None
    assert [type(fact) for fact in await keys.facts()] == [KeyCreated, KeyRevoked]
    with pytest.raises(InvalidRequest, match="generate"):
        await keys.admin.ensure(raw[:-1], "admin", by="bootstrap")


async def test_a_change_is_in_force_when_it_returns():
    """Whoever has just made a key may use it at once, here."""
    keys = Keys()
    new = await keys.make()

    assert keys.ring.identify(new.raw).principal.client == "acme"


async def test_no_fact_without_its_change():
    """If the database is away nothing happened, and nothing is recorded."""
    keys = Keys()
    keys.store.is_away = True

    with pytest.raises(KeysUnavailable):
        await keys.make()

    assert await keys.facts() == []


async def test_a_key_that_was_made_is_handed_over():
    """A database that goes away after the change does not cost its maker the only sight of the key."""

    class Leaving(MemoryApiKeys):
        """A store that is out of reach as soon as a key was added."""

        async def add(self, key: ApiKey) -> bool:
            added = await super().add(key)
            self.is_away = True
            return added

    keys = Keys(store=Leaving())
    new = await keys.make()

    keys.store.is_away = False
    await keys.ring.refresh()
    assert keys.ring.identify(new.raw).principal.client == "acme"


async def test_a_derived_secret_is_of_its_purpose_and_pepper():
    """Who has the same pepper derives the same; another purpose or pepper gives another, none refuses."""
    first, second = Keys(), Keys()
    other = KeyAdmin(first.store, b"another pepper", first.clock, first.recorder)
    without = KeyAdmin(first.store, None, first.clock, first.recorder)

    derived = first.admin.derived("sessions")

    assert len(derived) == 32
    assert second.admin.derived("sessions") == derived
    assert len({derived, first.admin.derived("else"), other.derived("sessions"), PEPPER}) == 4
    with pytest.raises(SettingsError):
        without.derived("sessions")


async def test_keys_have_a_bound(monkeypatch):
    """Every worker holds all keys: there is an end to them, in a sentence."""
    monkeypatch.setattr(limits, "API_KEYS_MAX", 2)
    keys = Keys()
    await keys.make()
    await keys.make()

    with pytest.raises(InvalidRequest, match="2 API keys already"):
        await keys.make()
