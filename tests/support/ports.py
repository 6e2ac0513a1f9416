"""Ports of this machine that nobody listens on at the moment."""

from __future__ import annotations

import socket
from contextlib import ExitStack


def free_port() -> int:
    """One of them."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """So many at once: asked for one by one, two of them may be the same."""
    with ExitStack() as listeners:
        found = [listeners.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(listener.getsockname()[1]) for listener in found]
