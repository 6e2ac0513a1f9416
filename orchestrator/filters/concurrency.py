"""Keeps the calls under way in a process below a bound, and what room there is fairly divided.

Beyond the bound every further call would only make all others slower, so it is refused at once, which costs
next to nothing. Who is refused is decided by the room that is left: a client may hold `SHARE` times as many
calls as there are free places. One client alone can so take eight ninths of them and never the last; two
greedy ones end up with the same part each; and whoever comes new finds a place. (Choudhury and Hahne,
"Dynamic queue length thresholds", 1998, divide the buffer of a switch that way.)
"""

from __future__ import annotations

import msgspec

from orchestrator.errors import Overloaded
from orchestrator.model import Call, RequestT, Response
from orchestrator.service import Service

SHARE = 8
"""chosen: the calls a client may hold for each free place. More leaves less for newcomers, less leaves more
places unused: with 8 a ninth when one client is greedy, one in seventeen when two are."""


class ConcurrencyPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How many calls one process works on at once.

    Measured on a busy machine with two cores: a worker with 1,000 misses under way answered them within 4.0 s
    (p99), with 2,000 within 7.8 s, and some ran into the deadline of 9 s.
    """

    calls_max: int = 1_000


class ConcurrencyFilter:
    """Lets a call in while there is room for its client. One for all operations of a process."""

    def __init__(self, policy: ConcurrencyPolicy) -> None:
        self.calls_max = policy.calls_max
        self._free = policy.calls_max
        self._held: dict[str, int] = {}

    @property
    def calls(self) -> int:
        """The calls under way."""
        return self.calls_max - self._free

    async def __call__(self, call: Call[RequestT], service: Service[RequestT, Response]) -> Response:
        """Answer as the inner stages do. Raises Overloaded."""
        principal = call.principal
        client = "" if principal is None else principal.counted_as
        held = self._held.get(client, 0)
        if held >= SHARE * self._free:
            raise Overloaded("AMOS is working on as many calls as it can. Retry in a moment.")
        self._free -= 1
        self._held[client] = held + 1
        try:
            return await service(call)
        finally:
            self._free += 1
            left = self._held[client] - 1
            if left:
                self._held[client] = left
            else:
                del self._held[client]
