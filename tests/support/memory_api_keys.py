"""API keys in memory: the real rules without a database, able to be out of reach when told to."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from orchestrator import limits
from orchestrator.api_keys import ApiKey
from orchestrator.errors import InvalidRequest, KeysUnavailable
from orchestrator.ports import KeySnapshot


class MemoryApiKeys:
    """An ApiKeyStore; see there. Nothing in it waits, so each method is atomic.

    While `is_away` is set every method fails; `reads` counts the snapshots that were taken.
    """

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}
        self._revision = 0
        self.is_away = False
        self.reads = 0

    async def revision(self) -> int:
        """The number of changes so far."""
        self._require_presence()
        return self._revision

    async def read(self) -> KeySnapshot:
        """All keys, oldest first."""
        self._require_presence()
        self.reads += 1
        keys = sorted(self._keys.values(), key=lambda key: (key.created_at, key.id))
        return KeySnapshot(self._revision, tuple(keys))

    async def add(self, key: ApiKey) -> bool:
        """Keep a new key, unless its id is taken."""
        self._require_presence()
        if key.id in self._keys:
            return False
        self._make_room(key.created_at)
        self._put(key)
        return True

    async def replace(self, key_id: str, successor: ApiKey, ends_at: float) -> ApiKey | None:
        """Keep the successor and end the old key."""
        self._require_presence()
        old = self._keys.get(key_id)
        if old is None:
            return None
        self._make_room(successor.created_at)
        ends_at = ends_at if old.expires_at is None else min(ends_at, old.expires_at)
        old = msgspec.structs.replace(old, expires_at=ends_at)
        self._put(old)
        self._put(successor)
        return old

    async def revoke(self, key_id: str, revoked_at: float) -> ApiKey | None:
        """End the key for good."""
        self._require_presence()
        key = self._keys.get(key_id)
        if key is not None and key.revoked_at is None:
            key = msgspec.structs.replace(key, revoked_at=revoked_at)
            self._put(key)
        return key

    async def note_used(self, used: Mapping[str, float]) -> None:
        """Keep the last uses; no change of a key."""
        self._require_presence()
        for key_id, at in used.items():
            key = self._keys.get(key_id)
            if key is not None and (key.last_used_at is None or key.last_used_at < at):
                self._keys[key_id] = msgspec.structs.replace(key, last_used_at=at)

    def _require_presence(self) -> None:
        if self.is_away:
            raise KeysUnavailable("The keys are out of reach.")

    def _put(self, key: ApiKey) -> None:
        self._keys[key.id] = key
        self._revision += 1

    def _make_room(self, now: float) -> None:
        end = now - limits.API_KEY_REMEMBERED_S
        dead = [
            key.id
            for key in self._keys.values()
            if (key.revoked_at is not None and key.revoked_at < end)
            or (key.expires_at is not None and key.expires_at < end)
        ]
        for key_id in dead:
            del self._keys[key_id]
        if len(self._keys) >= limits.API_KEYS_MAX:
            raise InvalidRequest(f"There are {limits.API_KEYS_MAX} API keys already; revoke some.")
