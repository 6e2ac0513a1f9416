"""Servers that several kinds of tests share: started once a session, emptied for each test."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.valkey import Valkey


@pytest.fixture(scope="session")
def valkey_server():
    """One Valkey for all tests of this process that do no more than use it."""
    server = Valkey()
    asyncio.run(server.start())
    yield server
    server.close()


@pytest.fixture
def valkey(valkey_server):
    """An empty Valkey that must not be stopped."""
    valkey_server.flushall()
    return valkey_server
