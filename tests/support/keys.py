"""Keys for tests: a ring over keys in memory, the administration that makes them, and keys of providers."""

from __future__ import annotations

from typing import Any

from orchestrator.clock import SystemClock
from orchestrator.key_admin import KeyAdmin, KeyWish, NewKey
from orchestrator.key_ring import KeyRing
from orchestrator.ports import Clock
from orchestrator.providers.key_pool import KeyPool
from orchestrator.recorder import Recorder
from tests.support.memory_api_keys import MemoryApiKeys
from tests.support.memory_journal import MemoryJournal

PEPPER = b"pepper of the tests, 32 bytes long"


def one_key(key: str = "simulated-key") -> KeyPool:
    """The pool of a provider that has one key."""
    return KeyPool("any", (key,), SystemClock())


class Keys:
    """Store, ring and administration of one installation. Must be made on a running event loop."""

    def __init__(self, clock: Clock | None = None, store: MemoryApiKeys | None = None) -> None:
        self.clock = clock or SystemClock()
        self.store = store or MemoryApiKeys()
        self.journal = MemoryJournal()
        self.recorder = Recorder(self.journal, self.clock)
        self.ring = KeyRing(self.store, PEPPER, self.clock)
        self.admin = KeyAdmin(self.store, PEPPER, self.clock, self.recorder, self.ring)

    async def make(self, client: str = "acme", **wish: Any) -> NewKey:
        """A new key, known to the ring."""
        return await self.admin.create(KeyWish(client=client, **wish), by="test")

    async def facts(self) -> list[Any]:
        """What was recorded about keys."""
        await self.recorder.aclose()
        return self.journal.events("keys")
