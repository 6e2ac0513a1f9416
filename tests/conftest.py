"""Servers that several kinds of tests share: started once a session, emptied for each test."""

from __future__ import annotations

import signal

import pytest

from tests.support.valkey import Valkey
from tests.support.valkey_groups import Cluster, Sentinels

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
