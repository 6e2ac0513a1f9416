"""Servers and databases that several kinds of tests share: started once a session, emptied for each test."""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

from storage.sql_engine import sqlite_url
from storage.sql_schema import upgrade_blocking
from tests.support.postgres import shared_postgres
from tests.support.valkey import Valkey
from tests.support.valkey_groups import Cluster, Sentinels

ENGINES = ("sqlite", "postgresql")

# An example that takes long is a machine that stands still, more often than a fault; tests have a timeout.
hypothesis.settings.register_profile("untimed", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("untimed")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell has started the tests behind it (`&`). The commands they start would inherit that, and no Ctrl-C
    # would reach them.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def valkey_server():
    """One Valkey, for tests that do no more than use it."""
    server = Valkey()
    server.launch()
    yield server
    server.close()


@pytest.fixture
def valkey(valkey_server):
    """An empty Valkey that must not be stopped."""
    valkey_server.flushall()
    return valkey_server


@pytest.fixture(scope="session")
def sentinel_servers():
    """A master, a replica and their Sentinels, for tests that do no more than use them."""
    servers = Sentinels()
    try:
        servers.launch()
        yield servers
    finally:
        servers.close()


@pytest.fixture
def sentinels(sentinel_servers):
    """Sentinels of an empty master, none of which must be stopped."""
    sentinel_servers.flushall()
    return sentinel_servers


@pytest.fixture(scope="session")
def cluster_servers():
    """A Cluster, for tests that do no more than use it."""
    servers = Cluster()
    try:
        servers.launch()
        yield servers
    finally:
        servers.close()


@pytest.fixture
def cluster(cluster_servers):
    """An empty Cluster, no node of which must be stopped."""
    cluster_servers.flushall()
    return cluster_servers


@pytest.fixture(scope="session")
def new_database(tmp_path_factory) -> Callable[[str, Path], str]:
    """Makes a database with the newest schema: of a kind, in a folder; migrating once each is enough."""

    @functools.cache
    def migrated(kind: str) -> bytes | str:
        if kind == "postgresql":
            url = shared_postgres().new_database()
            upgrade_blocking(url)
            return url
        path = tmp_path_factory.mktemp("schema") / "amos.sqlite"
        upgrade_blocking(sqlite_url(path))
        return path.read_bytes()

    def make(kind: str, folder: Path) -> str:
        template = migrated(kind)
        if isinstance(template, str):
            return shared_postgres().new_database(template)
        path = folder / "amos.sqlite"
        path.write_bytes(template)
        return sqlite_url(path)

    return make


@pytest.fixture(params=ENGINES)
def kind(request):
    """On which engine the test runs: the contract is the same on all."""
    return request.param


@pytest.fixture
def database_url(tmp_path, kind, new_database):
    """A database of this test alone."""
    return new_database(kind, tmp_path)
