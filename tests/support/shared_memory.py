"""What several processes share, in memory: for tests in which the processes are objects and time is virtual.

They pass the same contract suites as their Redis twins. `is_down` puts one out of reach.
"""

from __future__ import annotations

import asyncio
import contextlib

import msgspec

from orchestrator.circuits import CircuitReport, SharedCircuit
from orchestrator.cooldown import nth
from orchestrator.errors import CircuitBoardUnavailable, FlightStoreUnavailable
from orchestrator.ports import Clock

LEASE_S = 1.5
LOOK_S = 0.5
PROBE_S = 30.0
EARLY_S = 0.01


class MemoryFlights:
    """A FlightStore."""

    def __init__(self, clock: Clock) -> None:
        self.is_down = False
        self.calls = 0
        self._clock = clock
        self._leases: dict[str, tuple[str, float]] = {}
        self._outcomes: dict[tuple[str, str], bytes] = {}
        self._landed: dict[str, asyncio.Event] = {}

    async def claim(self, key: str, holder: str) -> str:
        """Take the lease unless somebody has it."""
        leader = self._leader(key)
        if not leader:
            self._leases[key] = holder, self._clock.monotonic() + LEASE_S
        return leader or holder

    async def renew(self, key: str, holder: str) -> bool:
        """Keep the lease."""
        if self._leader(key) != holder:
            return False
        self._leases[key] = holder, self._clock.monotonic() + LEASE_S
        return True

    async def land(self, key: str, holder: str, outcome: bytes | None) -> None:
        """Give the lease back and leave the outcome."""
        if self._leader(key) == holder:
            del self._leases[key]
        if outcome is not None:
            self._outcomes[key, holder] = outcome
        if key in self._landed:
            self._landed.pop(key).set()

    async def outcome(self, key: str, holder: str) -> bytes | None:
        """Wait until the flight of `holder` has ended."""
        while self._leader(key) == holder:
            landed = self._landed.setdefault(key, asyncio.Event())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await landed.wait()
        return self._outcomes.get((key, holder))

    def _leader(self, key: str) -> str:
        self.calls += 1
        if self.is_down:
            raise FlightStoreUnavailable("Down.")
        holder, until = self._leases.get(key, ("", 0.0))
        return holder if until > self._clock.monotonic() else ""


class MemoryCircuitBoard:
    """A CircuitBoard."""

    def __init__(self, clock: Clock) -> None:
        self.is_down = False
        self._clock = clock
        self._circuits: dict[str, SharedCircuit] = {}
        self._until: dict[str, float] = {}
        self._answers: dict[str, int] = {}
        self._probes: dict[str, tuple[str, float]] = {}

    async def report(self, report: CircuitReport, holder: str) -> SharedCircuit:
        """Tell, and learn how things stand now."""
        self._reach()
        before = self._seen(report.provider)
        is_ours = self._take_in(report, before, holder)
        return msgspec.structs.replace(self._seen(report.provider), is_ours=is_ours)

    async def take_probe(self, provider: str, holder: str) -> bool:
        """Whether this process may make the one probe."""
        self._reach()
        now = self._clock.monotonic()
        prober, until = self._probes.get(provider, ("", 0.0))
        if self._seen(provider).left_s > EARLY_S or (prober not in ("", holder) and until > now):
            return False
        self._probes[provider] = holder, now + PROBE_S
        return True

    def forget(self) -> None:
        """Lose everything, as a server does that is started again without its disk."""
        self._circuits.clear()

    def _reach(self) -> None:
        if self.is_down:
            raise CircuitBoardUnavailable("Down.")

    def _seen(self, provider: str) -> SharedCircuit:
        seen = self._circuits.get(provider, SharedCircuit())
        left_s = max(0.0, self._until.get(provider, 0.0) - self._clock.monotonic())
        return msgspec.structs.replace(seen, left_s=left_s if seen.state == "open" else 0.0)

    def _take_in(self, report: CircuitReport, seen: SharedCircuit, holder: str) -> bool:
        """Whether it opens by this report, or for longer."""
        name, kind, next_ = report.provider, report.kind, seen.openings + 1
        if kind == "probed":
            if self._probes.get(name, ("", 0.0))[0] == holder:
                del self._probes[name]
        elif kind == "failed" and seen.state != "open":
            failures = seen.failures + 1
            if failures >= report.failures_max:
                return self._open(report, next_, nth(report.pauses_s, next_))
            self._answers[name] = 0
            self._circuits[name] = SharedCircuit(state="closed", failures=failures, openings=seen.openings)
        elif kind == "remembered" and seen.left_s == 0:
            return self._open(report, max(seen.openings, report.openings), report.pauses_s[0])
        elif kind in ("opened", "paused") and seen.left_s == 0:
            return self._open(report, next_, nth(report.pauses_s, next_))
        elif kind == "paused" and nth(report.pauses_s, seen.openings) > seen.cooldown_s:
            return self._open(report, seen.openings, nth(report.pauses_s, seen.openings))
        elif (
            kind == "revived"
            or (kind == "closed" and seen.left_s == 0)
            or (kind == "answered" and seen.state != "open")
        ):
            self._answers[name] = self._answers.get(name, 0) + 1 if kind == "answered" else 1
            is_well = self._answers[name] >= report.failures_max
            self._circuits[name] = SharedCircuit(state="closed", openings=0 if is_well else seen.openings)
        return False

    def _open(self, report: CircuitReport, openings: int, pause_s: float) -> bool:
        name = report.provider
        self._answers[name] = 0
        self._until[name] = self._clock.monotonic() + pause_s
        self._circuits[name] = SharedCircuit(
            state="open",
            openings=openings,
            cooldown_s=pause_s,
            reason=report.reason,
            is_quota=report.is_quota,
        )
        return True
