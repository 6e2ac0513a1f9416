"""Making, rotating and revoking API keys, for every surface: the rules, then the store, then the fact.

A key itself leaves in the answer to whoever had it made, and exists nowhere else.
"""

from __future__ import annotations

import contextlib
import hmac

import msgspec

from orchestrator import api_keys
from orchestrator.api_keys import SCOPES_DEFAULT, ApiKey
from orchestrator.errors import InvalidRequest, KeyNotFound, KeysUnavailable, SettingsError
from orchestrator.facts import (
    KeyCreated,
    KeyRevoked,
    KeyRotated,
)
from orchestrator.key_ring import KeyRing
from orchestrator.ports import ApiKeyStore, Clock, FactSink
from orchestrator.principals import OwnLimits

KEYS_STREAM = "keys"
"""Stream of the facts about API keys."""

LIFETIME_S_MAX = 3_650 * 86_400.0
"""chosen: whoever wants a key for more than ten years wants one that does not expire."""

OVERLAP_S = 86_400.0
"""chosen: a day to bring the new key to every place that has the old one."""

OVERLAP_S_MAX = 90 * 86_400.0
"""chosen: a rotation that takes longer than a season is not under way."""

LIMIT_MAX = 1_000_000_000
"""chosen: a larger limit is none."""


class KeyWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a new key shall be. `expires_in_s` `None` never ends; `limits` `None` are everybody's."""

    client: str
    scopes: tuple[str, ...] = SCOPES_DEFAULT
    expires_in_s: float | None = None
    limits: OwnLimits | None = None


class NewKey(msgspec.Struct, frozen=True):
    """A key that has just been made: `raw` is the key itself, shown this once."""

    raw: str
    key: ApiKey

    def __repr__(self) -> str:
        """Without the key itself."""
        return f"NewKey({self.key!r})"


class KeyAdmin:
    """What may be done to keys. `ring`, if there is one in this process, knows of it when a method returns.

    `by` is the client that asks. Every method raises KeysUnavailable. Cancelling one leaves the change made
    or not made, never half; the fact of a change whose caller left may be missing. `pepper` is `None` where
    the keys there are have one that is elsewhere: then keys can be listed and revoked, and making one raises
    SettingsError, because it would open nothing.
    """

    def __init__(
        self,
        store: ApiKeyStore,
        pepper: bytes | None,
        clock: Clock,
        facts: FactSink,
        ring: KeyRing | None = None,
    ) -> None:
        self._store = store
        self._pepper = pepper
        self._clock = clock
        self._facts = facts
        self._ring = ring

    def derived(self, purpose: str) -> bytes:
        """A secret for another purpose than keys, the same on all instances; it tells nothing of the pepper.

        Raises SettingsError where there is no pepper.
        """
        return hmac.digest(self._known_pepper(), purpose.encode(), "sha256")

    async def create(self, wish: KeyWish, *, by: str) -> NewKey:
        """Make a key. Raises InvalidRequest."""
        now = self._clock.now()
        new = self._new(
            ApiKey(
                id="",
                digest="",
                client=api_keys.valid_client(wish.client),
                scopes=api_keys.valid_scopes(wish.scopes),
                created_at=now,
                expires_at=_end(wish.expires_in_s, now),
                limits=_limits(wish.limits),
            )
        )
        await self._store.add(new.key)
        await self._created(new.key, by)
        return new

    async def ensure(self, raw: str, client: str, *, by: str) -> bool:
        """Make this very key, with all scopes, unless a key with its id exists; whether it was made.

        A revoked one stays revoked. Raises InvalidRequest if it is no key.
        """
        try:
            key_id = api_keys.id_of(raw)
        except api_keys.MalformedKey as error:
            raise InvalidRequest("This is not an API key; `amos keys generate` makes one.") from error
        key = ApiKey(
            id=key_id,
            digest=self._digest(raw),
            client=api_keys.valid_client(client),
            scopes=api_keys.SCOPES,
            created_at=self._clock.now(),
        )
        is_new = await self._store.add(key)
        if is_new:
            await self._created(key, by)
        return is_new

    async def list(self) -> tuple[ApiKey, ...]:
        """All keys, oldest first; those dead for `limits.API_KEY_REMEMBERED_S` may have been forgotten."""
        return (await self._store.read()).keys

    async def rotate(self, key_id: str, *, overlap_s: float = OVERLAP_S, by: str) -> NewKey:
        """Make a successor with the same client, scopes, lifetime and limits; both open for `overlap_s`.

        Raises KeyNotFound, and InvalidRequest for a key that has ended or has a successor already.
        """
        if not 0 <= overlap_s <= OVERLAP_S_MAX:
            raise InvalidRequest(
                f"overlap_s: expected 0 to {OVERLAP_S_MAX:.0f} seconds, which is 90 days.", field="overlap_s"
            )
        now = self._clock.now()
        keys = await self.list()
        old = next((key for key in keys if key.id == key_id), None)
        if old is None:
            raise _unknown()
        _refuse_rotation(old, keys, now)
        lifetime_s = None if old.expires_at is None else old.expires_at - old.created_at
        new = self._new(
            msgspec.structs.replace(
                old,
                created_at=now,
                expires_at=None if lifetime_s is None else now + lifetime_s,
                replaces=old.id,
                last_used_at=None,
            )
        )
        replaced = await self._store.replace(old.id, new.key, now + overlap_s)
        if replaced is None:
            raise _unknown()
        fact = KeyRotated(
            key_id=new.key.id,
            replaces=old.id,
            replaced_ends_at=replaced.expires_at or 0.0,
            client=new.key.client,
            scopes=new.key.scopes,
            expires_at=new.key.expires_at or 0.0,
            by=by,
        )
        self._facts.record_fact(KEYS_STREAM, fact)
        await self._in_force()
        return new

    async def revoke(self, key_id: str, *, by: str) -> ApiKey:
        """End a key for good; one that is revoked stays so, and no fact is recorded. Raises KeyNotFound."""
        now = self._clock.now()
        revoked = await self._store.revoke(key_id, now)
        if revoked is None:
            raise _unknown()
        if revoked.revoked_at == now:
            self._facts.record_fact(KEYS_STREAM, KeyRevoked(key_id=key_id, client=revoked.client, by=by))
        await self._in_force()
        return revoked

    def _new(self, like: ApiKey) -> NewKey:
        raw = api_keys.generate()
        digest = self._digest(raw)
        return NewKey(raw, msgspec.structs.replace(like, id=api_keys.id_of(raw), digest=digest))

    def _digest(self, raw: str) -> str:
        return api_keys.digest(self._known_pepper(), raw)

    def _known_pepper(self) -> bytes:
        if self._pepper is None:
            raise SettingsError(
                "There are API keys, and their pepper is not here, neither as AMOS_KEY_PEPPER nor as a file: "
                "a key made now would open nothing. Give the pepper, or make the key on the server, with "
                "--url; if the pepper is lost, revoke the keys there are first."
            )
        return self._pepper

    async def _created(self, key: ApiKey, by: str) -> None:
        fact = KeyCreated(
            key_id=key.id, client=key.client, scopes=key.scopes, expires_at=key.expires_at or 0.0, by=by
        )
        self._facts.record_fact(KEYS_STREAM, fact)
        await self._in_force()

    async def _in_force(self) -> None:
        if self._ring is not None:
            # The change is made: a database that goes away now must not cost its maker the new key.
            with contextlib.suppress(KeysUnavailable):
                await self._ring.refresh()


def _refuse_rotation(old: ApiKey, keys: tuple[ApiKey, ...], now: float) -> None:
    if not old.is_live(now):
        raise InvalidRequest("This key has ended; create a new one.", field="id")
    successor = next((key for key in keys if key.replaces == old.id and key.is_live(now)), None)
    if successor is not None:
        raise InvalidRequest(f"This key was rotated already; its successor is {successor.id}.", field="id")


def _end(expires_in_s: float | None, now: float) -> float | None:
    if expires_in_s is None:
        return None
    if not 0 < expires_in_s <= LIFETIME_S_MAX:
        raise InvalidRequest(
            "expires_in_s: expected more than 0 and at most ten years; without it a key does not expire.",
            field="expires_in_s",
        )
    return now + expires_in_s


def _limits(limits: OwnLimits | None) -> OwnLimits | None:
    if limits is None or limits == OwnLimits():
        return None
    for name in limits.__struct_fields__:
        value = getattr(limits, name)
        if value is not None and not 1 <= value <= LIMIT_MAX:
            raise InvalidRequest(f"limits.{name}: expected 1 to {LIMIT_MAX}.", field="limits")
    return limits


def _unknown() -> KeyNotFound:
    return KeyNotFound("There is no API key with this id.")
