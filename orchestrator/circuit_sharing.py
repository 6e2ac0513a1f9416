"""One set of circuits over all processes: tells the others what this one sees, and learns what they saw.

No call waits for it. One task sends the reports of this process's circuits in their order, as soon as there
are any, and asks for news twice a second; only the single call that would probe asks for itself. Each report
is answered with how things stand, so that a failure elsewhere is known here with the next one of our own. If
the board is out of reach every process keeps its circuits alone, as it does on one machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from orchestrator.circuits import CircuitReport, SharedCircuit
from orchestrator.errors import CircuitBoardUnavailable
from orchestrator.filters.circuit_breaker import Circuit
from orchestrator.ports import CircuitBoard

REFRESH_S = 0.5
"""chosen: how long a process without failures of its own may not know that a circuit has opened or closed."""

REPORTS_MAX = 1_000
"""chosen: reports that wait; beyond that nothing new is said about a provider, and they are not sent."""

CLOSE_S = 1.0
"""chosen: at the end, reports still waiting are sent for so long."""

_log = logging.getLogger("amos.circuits")


class _Shared(NamedTuple):
    """A circuit, and what it is called on the board."""

    circuit: Circuit
    identity: str


class CircuitSharing:
    """Shares the circuits from the moment it is made, on a running event loop, until `aclose`.

    `identity` tells what a provider is called on the board: one that has taken the name of another is not to
    be found there by that name, with the circuit of the other.
    """

    def __init__(
        self, board: CircuitBoard, circuits: Mapping[str, Circuit], identity: Callable[[str], str] = str
    ) -> None:
        self._board = board
        self._identity = identity
        self._circuits: dict[str, _Shared] = {}
        self._holder = secrets.token_hex(8)
        self._is_faulty = False
        self._reports: asyncio.Queue[tuple[_Shared, CircuitReport]] = asyncio.Queue(REPORTS_MAX)
        self.use(circuits)
        self._task = asyncio.create_task(self._run(), name="circuits")

    def use(self, circuits: Mapping[str, Circuit]) -> None:
        """Share these circuits from now on; one that is not among them any more keeps to itself."""
        known, self._circuits = self._circuits, {}
        for provider, circuit in circuits.items():
            shared = known.get(provider)
            if shared is None or shared.circuit is not circuit:
                shared = _Shared(circuit, self._identity(provider))
                circuit.share(partial(self._tell, shared), partial(self._take_probe, shared))
            self._circuits[provider] = shared

    def _tell(self, shared: _Shared, report: CircuitReport) -> None:
        try:
            self._reports.put_nowait((shared, report))
        except asyncio.QueueFull:
            self._learn(shared, report, None)

    async def _take_probe(self, shared: _Shared) -> bool:
        try:
            return await self._board.take_probe(shared.identity, self._holder)
        except CircuitBoardUnavailable:
            return True

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        refresh_at = loop.time()
        while True:
            try:
                async with asyncio.timeout_at(refresh_at):
                    shared, report = await self._reports.get()
            except TimeoutError:
                for provider, shared in tuple(self._circuits.items()):
                    await self._deliver(shared, CircuitReport(provider=provider, kind="looked"))
                refresh_at = loop.time() + REFRESH_S
            else:
                await self._deliver(shared, report)
                self._reports.task_done()

    async def _deliver(self, shared: _Shared, report: CircuitReport) -> None:
        known = None
        try:
            known = await self._board.report(replace(report, provider=shared.identity), self._holder)
        except CircuitBoardUnavailable:
            pass
        except Exception as error:  # noqa: BLE001 - without this task no process would hear of another again
            if not self._is_faulty:
                _log.error("circuits cannot be shared", exc_info=error)
            self._is_faulty = True
        else:
            self._is_faulty = False
        self._learn(shared, report, known)

    def _learn(self, shared: _Shared, report: CircuitReport, known: SharedCircuit | None) -> None:
        # It may have gone meanwhile, and what it has told is nothing for the one that took its name.
        if self._circuits.get(report.provider) is shared:
            shared.circuit.learn(report, known)

    async def aclose(self) -> None:
        """Send what waits, as far as it can be sent soon, and end. Safe to call twice."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._reports.join()
        self._task.cancel()
        await asyncio.wait([self._task])
