"""How the supervisor ends the listening for all workers: nobody is cut off, and nobody waits in vain."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from api import supervisor

PATIENCE_S = 5.0
"""More than any of this takes on a busy machine."""


@pytest.fixture
def ours() -> Iterator[socket.socket]:
    """The supervisor's hold on the listening socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def workers(ours: socket.socket) -> Iterator[socket.socket]:
    """A worker's hold on the same socket, which it keeps."""
    with ours.dup() as listener:
        listener.setblocking(False)
        yield listener


async def test_who_comes_after_the_end_is_refused_at_once(ours: socket.socket, workers: socket.socket):
    """Also while a worker still holds the socket, and accepts nobody any more."""
    await supervisor._refuse_newcomers(ours)

    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*workers.getsockname())


async def test_who_waits_to_be_accepted_is_accepted_first(ours: socket.socket, workers: socket.socket):
    """The listening ends when a worker has taken who stood in the queue, and what it took stays open."""
    reader, writer = await asyncio.open_connection(*workers.getsockname())
    ending = asyncio.create_task(supervisor._refuse_newcomers(ours))
    await asyncio.sleep(0.02)
    had_ended = ending.done()
    with workers.accept()[0] as taken:
        await ending
        taken.sendall(b"answer")
        answer = await asyncio.wait_for(reader.read(6), PATIENCE_S)
    writer.close()
    await writer.wait_closed()

    assert not had_ended
    assert answer == b"answer"


async def test_workers_that_are_stuck_hold_up_no_stop(
    ours: socket.socket, workers: socket.socket, monkeypatch: pytest.MonkeyPatch
):
    """Whom nobody accepts is given up after a while."""
    monkeypatch.setattr(supervisor, "QUEUE_POLLS", 5)
    reader, writer = await asyncio.open_connection(*workers.getsockname())

    async with asyncio.timeout(PATIENCE_S):
        await supervisor._refuse_newcomers(ours)
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
    writer.close()
