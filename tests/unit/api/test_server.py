"""How several workers share one listening socket."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

import pytest

from api.server import hypercorn_config


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """The socket that a worker accepts from, as Hypercorn gets it, and two clients in its queue."""
    opened = socket.create_server(("127.0.0.1", 0))
    address = opened.getsockname()
    made = hypercorn_config(os.dup(opened.fileno()), is_shared=True).create_sockets()
    (shared,) = made.insecure_sockets
    shared.setblocking(False)
    with opened, shared, socket.create_connection(address), socket.create_connection(address):
        yield shared


def accepted(listener: socket.socket) -> int:
    """How many connections one look at the queue gives."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            count += 1
    return count


def test_a_worker_takes_one_connection_and_leaves_the_next(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
):
    """What is still in the queue is for whoever is idle; a moment later it is anybody's again."""
    monkeypatch.setattr(listener, "pause_s", 60.0)
    first = accepted(listener)
    monkeypatch.setattr(listener, "pause_s", 0.0)
    rest = accepted(listener)

    assert (first, rest) == (1, 1)


def test_a_worker_whose_listening_was_ended_finds_nobody(listener: socket.socket):
    """The supervisor ends it for all before it tells them to stop: that is no fault of the socket's."""
    listener.shutdown(socket.SHUT_RDWR)

    assert accepted(listener) == 0
