"""Several things measured in turns on one machine: what the neighbours do to one they do to the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import msgspec

from benchmarks.load import Request, closed_loop
from benchmarks.servers import Peer, cpu_s

CONNECTIONS = 64


class Counted(msgspec.Struct):
    """One request, at one server, and what was counted of it so far."""

    peer: Peer
    request: Request
    count: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return self.count / self.seconds

    @property
    def cpu_us(self) -> float:
        """Processor time for each answer, in microseconds: a busy machine changes it little."""
        return 1e6 * self.cpu_s / self.count

    async def turn(self, turn_s: float) -> None:
        """Ask for so long, over `CONNECTIONS` connections at once."""
        begun_s = cpu_s(self.peer.pid)
        tally = await closed_loop(self.peer.port, CONNECTIONS, turn_s, partial(same, self.request))
        assert not tally.errors, f"{tally.errors} errors"
        self.cpu_s += cpu_s(self.peer.pid) - begun_s
        self.count += tally.count
        self.seconds += tally.seconds


def same(request: Request) -> tuple[Request, str]:
    """The same request again, as load generators want it."""
    return request, "hit"


def in_turns(everybody: Sequence[Counted], seconds: float, turn_s: float) -> Iterator[Counted]:
    """Who is next: each has so many seconds in all (one turn at least) and goes first as often as others."""
    for turn in range(max(1, round(seconds / turn_s))):
        shift = turn % len(everybody)
        yield from [*everybody[shift:], *everybody[:shift]]
