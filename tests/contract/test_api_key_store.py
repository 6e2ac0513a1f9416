"""What every ApiKeyStore does, whichever technology keeps the keys.

`ApiKeyStoreContract` holds the cases; a class per implementation makes two stores over the same keys, as two
instances have them.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import pytest

from orchestrator import limits
from orchestrator.api_keys import ApiKey
from orchestrator.errors import InvalidRequest, KeysUnavailable
from orchestrator.ports import ApiKeyStore
from orchestrator.principals import OwnLimits
from storage.sql_api_keys import SqlApiKeys
from storage.sql_engine import open_engine, sqlite_url
from storage.sql_schema import upgrade
from tests.support.memory_api_keys import MemoryApiKeys
from tests.support.postgres import shared_postgres

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_800_000_000.25
LONG_AGO = NOW - limits.API_KEY_REMEMBERED_S - 1


def key(key_id: str, **fields: object) -> ApiKey:
    """A key with this id."""
    plain = {"digest": "d" * 64, "client": "acme", "scopes": ("search",), "created_at": NOW}
    return ApiKey(**{"id": key_id, **plain, **fields})  # type: ignore[arg-type]


FULL = key(
    "full",
    scopes=("search", "admin"),
    expires_at=NOW + 60.5,
    replaces="other",
    limits=OwnLimits(burst=2, per_hour=2_000_000_000),
)


class ApiKeyStoreContract(ABC):
    """The cases."""

    @abstractmethod
    async def create_stores(self) -> tuple[ApiKeyStore, ApiKeyStore]:
        """Two stores over the same keys, of which there are none."""

    @pytest.fixture
    async def stores(self) -> tuple[ApiKeyStore, ApiKeyStore]:
        """The things under test."""
        return await self.create_stores()

    async def test_a_key_comes_back_as_it_was(self, stores):
        """Every field survives, absent ones too, and the other instance sees the same."""
        here, there = stores

        assert await here.add(FULL)
        assert await here.add(key("bare"))

        assert {one.id: one for one in (await there.read()).keys} == {"full": FULL, "bare": key("bare")}

    async def test_keys_come_oldest_first(self, stores):
        """The list reads as they were made."""
        here, _ = stores
        for name, at in (("b", NOW), ("c", NOW + 2), ("a", NOW + 1)):
            await here.add(key(name, created_at=at))

        assert [one.id for one in (await here.read()).keys] == ["b", "a", "c"]

    async def test_an_id_is_taken_once(self, stores):
        """A second key with the same id changes nothing."""
        here, there = stores
        await here.add(key("one"))

        assert not await there.add(key("one", client="thief"))
        assert [one.client for one in (await here.read()).keys] == ["acme"]

    async def test_instances_that_add_the_same_key_at_once_make_one(self, stores):
        """Of instances that start together one makes the first key, and none fails."""
        made = await asyncio.gather(*(store.add(key("one")) for store in stores * 4))

        assert sorted(made) == [False] * 7 + [True]

    async def test_every_change_is_counted(self, stores):
        """One number tells the others that there is news; it never goes back."""
        here, there = stores
        seen = [await there.revision()]
        for change in (
            lambda: here.add(key("one")),
            lambda: here.replace("one", key("two", replaces="one"), NOW + 5),
            lambda: here.revoke("two", NOW),
        ):
            await change()
            seen.append(await there.revision())
            assert (await there.read()).revision == seen[-1]

        assert seen == sorted(set(seen))

    async def test_a_replacement_is_both_or_neither(self, stores):
        """The successor is there and the old key ends, no later than it would have."""
        here, there = stores
        await here.add(key("one"))
        await here.add(key("soon", expires_at=NOW + 1))

        assert await here.replace("one", key("two", replaces="one"), NOW + 5) == key(
            "one", expires_at=NOW + 5
        )
        assert await here.replace("soon", key("next"), NOW + 5) == key("soon", expires_at=NOW + 1)
        assert await here.replace("none", key("three"), NOW + 5) is None

        ends = {one.id: one.expires_at for one in (await there.read()).keys}
        assert ends == {"one": NOW + 5, "two": None, "soon": NOW + 1, "next": None}

    async def test_a_revocation_is_final(self, stores):
        """The first revocation stands; of an unknown key there is nothing to say."""
        here, there = stores
        await here.add(key("one"))

        assert await here.revoke("one", NOW) == key("one", revoked_at=NOW)
        assert await there.revoke("one", NOW + 9) == key("one", revoked_at=NOW)
        assert await here.revoke("none", NOW) is None

    async def test_the_latest_use_counts(self, stores):
        """Instances write late and out of order; what is kept never goes back, and is no change of a key."""
        here, there = stores
        await here.add(key("one"))
        await here.add(key("two"))
        before = await here.revision()

        await here.note_used({"one": NOW + 5, "gone": NOW})
        await there.note_used({"one": NOW + 3, "two": NOW + 1})

        assert [one.last_used_at for one in (await here.read()).keys] == [NOW + 5, NOW + 1]
        assert await here.revision() == before

    async def test_what_died_long_ago_makes_room(self, stores):
        """Keys that ended a season ago are forgotten when a new one is made; others are remembered."""
        here, _ = stores
        for name, fields in {
            "revoked": {"revoked_at": LONG_AGO},
            "expired": {"expires_at": LONG_AGO},
            "just": {"revoked_at": NOW - 5},
            "live": {},
        }.items():
            await here.add(key(name, created_at=LONG_AGO - 10, **fields))

        await here.add(key("new"))

        assert {one.id for one in (await here.read()).keys} == {"just", "live", "new"}

    async def test_there_is_an_end_to_keys(self, stores, monkeypatch):
        """Beyond the bound nothing is added, and nothing of a replacement happens."""
        here, _ = stores
        await here.add(key("one"))
        monkeypatch.setattr(limits, "API_KEYS_MAX", 1)

        with pytest.raises(InvalidRequest):
            await here.add(key("two"))
        with pytest.raises(InvalidRequest):
            await here.replace("one", key("two"), NOW)

        assert (await here.read()).keys == (key("one"),)


class TestMemoryApiKeys(ApiKeyStoreContract):
    """The contract, in memory."""

    async def create_stores(self) -> tuple[ApiKeyStore, ApiKeyStore]:
        """The same one twice: it knows no instances."""
        store = MemoryApiKeys()
        return store, store


class SqlContract(ApiKeyStoreContract):
    """The contract on a database, with what only a database can go through."""

    @abstractmethod
    def new_database(self, folder: Path) -> str:
        """The address of an empty database."""

    @pytest.fixture(autouse=True)
    async def _database(self, tmp_path):
        """A migrated database and the engines of two instances."""
        url = self.new_database(tmp_path)
        await upgrade(url)
        self.engines = [open_engine(url, writer=writer) for writer in (False, True, False, True)]
        yield
        for engine in self.engines:
            await engine.dispose()

    async def create_stores(self) -> tuple[ApiKeyStore, ApiKeyStore]:
        """Two, each with engines of its own."""
        return SqlApiKeys(*self.engines[:2]), SqlApiKeys(*self.engines[2:])

    async def test_a_database_without_a_place_for_keys_has_none(self, tmp_path):
        """Before the first migration there are no keys, which is not the same as not knowing."""
        engine = open_engine(self.new_database(tmp_path / "empty"), writer=True)
        store = SqlApiKeys(engine, engine)

        assert await store.revision() == -1
        assert (await store.read()).keys == ()
        for attempt in (store.add(FULL), store.revoke("full", NOW), store.note_used({"full": NOW})):
            with pytest.raises(KeysUnavailable, match="no place"):
                await attempt
        await engine.dispose()
        assert not (tmp_path / "empty").exists()

    async def test_the_row_holds_no_more_than_the_key_does(self):
        """A column for each field, and none in which a key itself could stand."""
        store, _ = await self.create_stores()
        await store.add(FULL)

        async with self.engines[0].connect() as connection:
            row = (await connection.exec_driver_sql("SELECT * FROM api_keys")).one()
        names = {*ApiKey.__struct_fields__} - {"limits"}
        assert {*row._fields} == names | {f"limit_{name}" for name in OwnLimits.__struct_fields__}
        assert row.digest == FULL.digest


class TestPostgresApiKeys(SqlContract):
    """The contract, on PostgreSQL."""

    def new_database(self, folder: Path) -> str:
        """One on the tests' own server."""
        return shared_postgres().new_database()


class TestSqliteApiKeys(SqlContract):
    """The contract, on SQLite."""

    def new_database(self, folder: Path) -> str:
        """A file that is not there yet."""
        return sqlite_url(folder / "amos.sqlite")

    async def test_a_broken_database_is_out_of_reach(self, tmp_path):
        """A file that is no database is not an empty one; the fault names no value."""
        (tmp_path / "broken.sqlite").write_bytes(b"no database" * 1_000)
        engine = open_engine(sqlite_url(tmp_path / "broken.sqlite"), writer=True)
        store = SqlApiKeys(engine, engine)

        for attempt in (store.revision(), store.read(), store.add(FULL), store.note_used({"a": NOW})):
            with pytest.raises(KeysUnavailable, match="out of reach") as fault:
                await attempt
            assert FULL.digest not in str(fault.value)
        await engine.dispose()
