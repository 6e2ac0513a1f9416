"""API keys in SQL: a row for each, and one row that counts the changes.

Every change begins by counting itself in `api_key_changes`, which locks that row (on SQLite the whole
database): changes happen one after the other wherever they are made, and a reader sees by one number whether
anything is new.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from sqlalchemy import Row, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator import limits
from orchestrator.api_keys import ApiKey
from orchestrator.errors import EventLogUnavailable, InvalidRequest, KeysUnavailable
from orchestrator.ports import KeySnapshot
from orchestrator.principals import OwnLimits
from storage.sql_engine import NoEventLog, transaction
from storage.sql_tables import api_key_changes, api_keys

_LIMITS = OwnLimits.__struct_fields__


class SqlApiKeys:
    """An ApiKeyStore; see there. The engines stay the caller's: one to read, one of a writer."""

    def __init__(self, reader: AsyncEngine, writer: AsyncEngine) -> None:
        self._reader = reader
        self._writer = writer

    async def revision(self) -> int:
        """The number of changes so far, -1 before the database was migrated to where it has keys."""
        try:
            async with _reaching(self._reader) as connection:
                return await _revision(connection)
        except NoEventLog:
            return -1

    async def read(self) -> KeySnapshot:
        """All keys, oldest first, as of one moment."""
        everything = select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id)
        try:
            async with _reaching(self._reader) as connection:
                # The number first: a change between the two reads is then seen once more, not missed.
                revision = await _revision(connection)
                keys = tuple(_key(row) for row in await connection.execute(everything))
        except NoEventLog:
            return KeySnapshot(-1, ())
        return KeySnapshot(revision, keys)

    async def add(self, key: ApiKey) -> bool:
        """Keep a new key, unless its id is taken."""
        async with self._change() as connection:
            if await _find(connection, key.id) is not None:
                return False
            await _make_room(connection, key.created_at)
            await connection.execute(api_keys.insert().values(**_columns(key)))
            return True

    async def replace(self, key_id: str, successor: ApiKey, ends_at: float) -> ApiKey | None:
        """Keep the successor and end the old key."""
        async with self._change() as connection:
            old = await _find(connection, key_id)
            if old is None:
                return None
            await _make_room(connection, successor.created_at)
            ends_at = ends_at if old.expires_at is None else min(ends_at, old.expires_at)
            await _set(connection, key_id, expires_at=ends_at)
            await connection.execute(api_keys.insert().values(**_columns(successor)))
            return msgspec.structs.replace(old, expires_at=ends_at)

    async def revoke(self, key_id: str, revoked_at: float) -> ApiKey | None:
        """End the key for good."""
        async with self._change() as connection:
            key = await _find(connection, key_id)
            if key is None or key.revoked_at is not None:
                return key
            await _set(connection, key_id, revoked_at=revoked_at)
            return msgspec.structs.replace(key, revoked_at=revoked_at)

    async def note_used(self, used: Mapping[str, float]) -> None:
        """Keep the last uses; no change of a key."""
        async with self._writing() as connection:
            # In one order everywhere, so that two instances cannot wait for each other.
            for key_id, at in sorted(used.items()):
                is_older = or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < at)
                await connection.execute(
                    update(api_keys).where(api_keys.c.id == key_id, is_older).values(last_used_at=at)
                )

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with _reaching(self._writer) as connection:
                yield connection
        except NoEventLog as error:
            raise KeysUnavailable("The database has no place for API keys yet.") from error

    @asynccontextmanager
    async def _change(self) -> AsyncIterator[AsyncConnection]:
        async with self._writing() as connection:
            await connection.execute(update(api_key_changes).values(revision=api_key_changes.c.revision + 1))
            yield connection


@asynccontextmanager
async def _reaching(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """One transaction. Raises NoEventLog if there is no place for keys yet, KeysUnavailable for a fault."""
    try:
        async with transaction(engine) as connection:
            yield connection
    except NoEventLog:
        raise
    except EventLogUnavailable as error:
        cause = type(error.__cause__).__name__
        raise KeysUnavailable(f"The database of API keys is out of reach ({cause}).") from error


async def _revision(connection: AsyncConnection) -> int:
    return int((await connection.execute(select(api_key_changes.c.revision))).scalar_one())


async def _find(connection: AsyncConnection, key_id: str) -> ApiKey | None:
    row = (await connection.execute(select(api_keys).where(api_keys.c.id == key_id))).one_or_none()
    return _key(row) if row is not None else None


async def _set(connection: AsyncConnection, key_id: str, **values: float) -> None:
    await connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(**values))


async def _make_room(connection: AsyncConnection, now: float) -> None:
    end = now - limits.API_KEY_REMEMBERED_S
    await connection.execute(
        delete(api_keys).where(or_(api_keys.c.revoked_at < end, api_keys.c.expires_at < end))
    )
    count = (await connection.execute(select(func.count()).select_from(api_keys))).scalar_one()
    if count >= limits.API_KEYS_MAX:
        raise InvalidRequest(f"There are {limits.API_KEYS_MAX} API keys already; revoke some.")


def _key(row: Row[Any]) -> ApiKey:
    columns = dict(row._mapping)  # noqa: SLF001 - the documented way to a row's columns by name
    own = {name: columns.pop(f"limit_{name}") for name in _LIMITS}
    has_limits = any(value is not None for value in own.values())
    columns["scopes"] = tuple(columns["scopes"].split())
    return ApiKey(**columns, limits=OwnLimits(**own) if has_limits else None)


def _columns(key: ApiKey) -> dict[str, Any]:
    columns = {name: getattr(key, name) for name in key.__struct_fields__ if name != "limits"}
    own = {f"limit_{name}": getattr(key.limits, name, None) for name in _LIMITS}
    return {**columns, **own, "scopes": " ".join(key.scopes)}
