"""Names are looked up by the system, and nobody waits long for it."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest

from api import names
from api.names import SystemNames


async def test_this_machine_is_known():
    """The system's own resolver is asked: localhost needs no network."""
    assert set(await SystemNames().addresses("localhost")) & {"127.0.0.1", "::1"}


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 300, "\x00", "", "..", "\ud800.example"])
async def test_what_cannot_be_resolved_has_no_addresses(host):
    """Nothing is raised, whatever the name."""
    assert await SystemNames().addresses(host) == () or host == ""


async def test_a_resolver_that_hangs_holds_nobody_up(monkeypatch):
    """After `RESOLVE_S` there is no answer, and with all lookups stuck nobody waits at all."""
    release = threading.Event()

    def hang(*_args, **_kwargs):
        release.wait(10.0)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(names, "RESOLVE_S", 0.1)
    monkeypatch.setattr(names, "LOOKUPS_MAX", 3)
    resolver = SystemNames()

    begun = time.monotonic()
    assert await asyncio.gather(*(resolver.addresses(f"{n}.example") for n in range(50))) == [()] * 50
    assert time.monotonic() - begun < 5.0
    release.set()
    for _ in range(200):
        await asyncio.sleep(0.01)
        monkeypatch.undo()
        if await resolver.addresses("localhost"):
            break
    else:
        pytest.fail("the stuck lookups were never given up")


async def test_an_answer_is_kept_for_a_while(monkeypatch):
    """Pages of one host come in groups."""
    asked = []

    def answer(host, *_args, **_kwargs):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    monkeypatch.setattr(names, "NAMES_MAX", 2)
    resolver = SystemNames()

    for host in ("a.example", "a.example", "b.example", "c.example", "b.example", "a.example"):
        assert await resolver.addresses(host) == ("93.184.215.14",)
    assert asked == ["a.example", "b.example", "c.example", "a.example"]
