"""API keys of an installation: the pepper, the store and the ring, as the settings have them.

Used by the gateway, by the command line without a server, and by the start, which refuses what is unsafe.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from collections.abc import AsyncIterator

from api.record import record
from api.settings import Settings
from orchestrator.clock import SystemClock
from orchestrator.errors import SettingsError
from orchestrator.key_admin import KeyAdmin
from orchestrator.key_ring import KeyRing
from orchestrator.ports import ApiKeyStore, Clock
from storage.file_pepper import NoPepper, has_pepper, read_pepper
from storage.sql_api_keys import SqlApiKeys
from storage.sql_engine import open_engine


def pepper(settings: Settings) -> bytes:
    """What keys are hashed with. Raises SettingsError if it must be given, and OSError."""
    if settings.key_pepper is not None:
        return settings.key_pepper.get_secret_value().encode()
    if not settings.has_own_database:
        raise SettingsError(
            "AMOS_KEY_PEPPER is not set, and the database is not the one in the data folder, so other "
            "machines may share it: every instance needs the same pepper to check API keys. Make one with "
            "`openssl rand -base64 48`, keep it safe, and give it to all of them."
        )
    try:
        return read_pepper(settings.data_dir)
    except NoPepper as error:
        raise SettingsError(str(error)) from error


def installation_of(secret: bytes) -> str:
    """A name of the installation with this pepper, the same on all of its instances; it tells nothing."""
    return hmac.new(secret, b"amos installation", hashlib.sha256).hexdigest()[:16]


@contextlib.asynccontextmanager
async def key_store(settings: Settings) -> AsyncIterator[ApiKeyStore]:
    """The keys of the database, which need not be there yet."""
    async with contextlib.AsyncExitStack() as cleanup:
        reader, writer = open_engine(settings.database_url), open_engine(settings.database_url, writer=True)
        cleanup.push_async_callback(reader.dispose)
        cleanup.push_async_callback(writer.dispose)
        yield SqlApiKeys(reader, writer)


@contextlib.asynccontextmanager
async def key_ring(store: ApiKeyStore, settings: Settings, clock: Clock) -> AsyncIterator[KeyRing]:
    """The keys in memory, kept up to date for as long as the context lasts."""
    ring = KeyRing(store, pepper(settings), clock)
    await ring.start()
    try:
        yield ring
    finally:
        await ring.aclose()


@contextlib.asynccontextmanager
async def key_admin(settings: Settings) -> AsyncIterator[KeyAdmin]:
    """What may be done to keys, without a gateway; the database is made or migrated first.

    Its facts go to the journal. Raises EventLogUnavailable, KeysUnavailable, SettingsError, OSError.
    """
    # Imported only now: whoever has a migrated database needs none of alembic in memory.
    from storage.sql_schema import upgrade  # noqa: PLC0415

    if not settings.has_own_database:
        pepper(settings)  # where it must be given, its absence is found out before anything is touched
    await upgrade(settings.database_url)
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as cleanup:
        _, recorder = await cleanup.enter_async_context(record(settings, clock))
        store = await cleanup.enter_async_context(key_store(settings))
        secret = None if await _is_pepper_elsewhere(settings, store, clock) else pepper(settings)
        yield KeyAdmin(store, secret, clock, recorder)


async def _is_pepper_elsewhere(settings: Settings, store: ApiKeyStore, clock: Clock) -> bool:
    """Whether there are keys, and a pepper made now would be another than theirs."""
    if settings.key_pepper is not None or not settings.has_own_database:
        return False
    # The keys first: whoever makes the first one in this moment has made its pepper before.
    is_in_use = any(key.is_live(clock.now()) for key in (await store.read()).keys)
    return is_in_use and not has_pepper(settings.data_dir)
