"""What the core needs from the outside, as protocols; storage and providers implement them.

Every implementation of a port passes the same contract suite (tests/contract). Unless a method says otherwise
it may be called concurrently from one event loop and is safe to cancel.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from orchestrator.api_keys import ApiKey
from orchestrator.circuits import CircuitReport, SharedCircuit
from orchestrator.events import (
    FREE,
    Cost,
    Envelope,
    Event,
    Frame,
)
from orchestrator.executions import ExecutionQuery, FoundExecutions
from orchestrator.model import (
    Call,
    ExtractAnswer,
    ExtractRequest,
    Found,
    SearchAnswer,
    SearchRequest,
)
from orchestrator.quota import Verdict as Verdict  # noqa: PLC0414 - part of a port, and of a trail
from orchestrator.quota import Window as Window  # noqa: PLC0414 - likewise
from orchestrator.relays import RelayAnswer, RelayRequest
from orchestrator.reports.report import Need, Question, Sums
from orchestrator.reports.totals import Standing, Totals


class Clock(Protocol):
    """Time, injected so that tests do not wait."""

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC; may jump."""

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back; the event loop's own."""

    async def sleep(self, seconds: float) -> None:
        """Wait; 0 or less only yields."""


# --- the record


class Journal(Protocol):
    """The local, append-only, durable list of frames of one writer, which it names and numbers."""

    @property
    def instance(self) -> str:
        """The name of this writer's series of frames; never used again after the process has ended."""

    def append(
        self,
        stream: str,
        recorded_at: float,
        events: Sequence[Envelope],
        texts: Mapping[str, str],
        requests: Mapping[str, str] | None = None,
    ) -> Awaitable[None]:
        """Take one frame now, in call order; the result is done when the frame is durable.

        The journal numbers the frame itself: one that failed leaves no hole in the series. Raises
        EventLogUnavailable (through the result) when it could not be made durable: the disk is full, the
        frame is larger than `limits.FRAME_BYTES_MAX` or the journal has reached its bound. A caller that does
        not await, or whose wait is cancelled, still has its frame written.
        """


class FactSink(Protocol):
    """Takes facts that belong to no execution."""

    def record_fact(self, stream: str, event: Event) -> None:
        """Write the fact soon, in a frame of its own stream; never raises, never waits."""

    def count_refusal(self, reason: str) -> None:
        """Count a call that was turned away, by a short code; counts are written once a second."""


class FactPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some frames of a stream, oldest first, and how far in the log they reach; those nobody can read lack.

    `position` is that of the last frame looked at, 0 where there is no log yet.
    """

    position: int
    frames: tuple[Frame, ...] = ()
    is_last: bool = True


class FactReader(Protocol):
    """Reads the facts of one stream from the log."""

    async def read(self, after: int) -> FactPage:
        """The next frames behind a position. Raises EventLogUnavailable."""


class ReportStore(Protocol):
    """Reads what the projector folded, and single executions from the log itself."""

    async def report(self, name: str, question: Question) -> dict[str, Any]:
        """A report over a window; `since` and `until` in it say to which the question's was widened.

        Raises EventLogUnavailable, NotFound for an unknown name, InvalidRequest for a question the report
        cannot answer.
        """

    async def sums(self, need: Need, since: float, until: float) -> Sums:
        """The sums of a need over a window, which is widened to whole minutes. Raises EventLogUnavailable."""

    async def execution(self, execution_id: str) -> list[Frame]:
        """All frames of one execution, oldest first; empty if the log has none.

        Raises EventLogUnavailable.
        """

    async def executions(self, query: ExecutionQuery) -> FoundExecutions:
        """A page of past executions that fit, found in bounded time.

        Raises EventLogUnavailable, InvalidRequest for a cursor that names no place in the log.
        """

    async def texts(self, keys: Collection[str]) -> dict[str, str]:
        """What was asked, by cache key; without those erased or never kept. Raises EventLogUnavailable."""

    async def totals(self, needs: Sequence[Need]) -> Totals:
        """Sums over all of history, read at one moment. Raises EventLogUnavailable."""

    async def standing(self) -> Standing:
        """How much of the log has been counted. Raises EventLogUnavailable."""


# --- the cache


class CacheEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One answer at rest.

    `fresh_until` ends its use as fresh, `stale_until` all use, 0 if it has none beyond. A store may forget it
    any time after both. `cost` is what fetching it cost, so that a hit can say what it saved.
    """

    fragment: bytes
    result_count: int
    provider: str
    stored_at: float
    fresh_until: float
    stale_until: float = 0.0
    cost: Cost = FREE
    is_fallback: bool = False
    unsupported: tuple[str, ...] = ()

    @property
    def useful_until(self) -> float:
        """The moment from which nobody has a use for it."""
        return max(self.fresh_until, self.stale_until)


class Cache(Protocol):
    """One tier, `l1` or `l2`."""

    @property
    def tier(self) -> str:
        """The tier's name in events and answers."""

    async def get(self, key: str) -> CacheEntry | None:
        """The entry, fresh or not, or `None`. Raises CacheUnavailable."""

    async def put(self, key: str, entry: CacheEntry) -> bool:
        """Store or replace; whether it is there now.

        An entry too large for the tier is not, and what it would have replaced has gone. Raises
        CacheUnavailable.
        """


# --- names


class NameResolver(Protocol):
    """Finds the network addresses of names, as this machine sees them."""

    async def addresses(self, host: str) -> Sequence[str]:
        """All addresses of the host; none if it has none, or nobody said so in time. Never raises."""


# --- limits


class RateLimitStore(Protocol):
    """Counts calls of a client against all windows at once: either all are charged or none.

    No period of a window, wherever it begins, sees more than `quota` calls. A call may be counted longer than
    its period, but never more of them at once than `quota / limits.RATE_SLOTS_MAX`: a client that stays so
    far below its quota is not refused. Windows that differ from those of the last call start anew.
    """

    async def hit(self, client: str, windows: tuple[Window, ...]) -> Verdict:
        """Charge one call to every window, or to none if one is used up; `windows` is not empty.

        Raises RateLimitStoreUnavailable.
        """


# --- what several processes and hosts share


class FlightStore(Protocol):
    """Which process fetches the answer of a key, and what came of it. All but `outcome` are one round trip.

    A holder names one flight of one process and is never used again. A lease lapses by itself when it is not
    renewed. All raise FlightStoreUnavailable.
    """

    async def claim(self, key: str, holder: str) -> str:
        """Take the lease unless somebody has it; returns who has it now."""

    async def renew(self, key: str, holder: str) -> bool:
        """Keep the lease; false if it is no longer this holder's."""

    async def land(self, key: str, holder: str, outcome: bytes | None) -> None:
        """Give the lease back, if it is still this holder's, and leave the outcome to those who wait.

        `None` leaves nothing: somebody else shall try.
        """

    async def outcome(self, key: str, holder: str) -> bytes | None:
        """Wait until the flight of `holder` has ended, by landing or by the lapse of its lease.

        Returns what it left, `None` if nothing, or nothing any more. Waits as long as the lease is renewed.
        """


class CircuitBoard(Protocol):
    """Where processes tell each other of their circuits. All raise CircuitBoardUnavailable."""

    async def report(self, report: CircuitReport, holder: str) -> SharedCircuit:
        """Tell, and learn how things stand now. `holder` names the process."""

    async def take_probe(self, provider: str, holder: str) -> bool:
        """Whether this process may make the one probe; it may again, should its report not have arrived.

        A probe that is never reported lapses. Nobody may while the circuit is open for longer.
        """


# --- keys


class KeySnapshot(msgspec.Struct, frozen=True):
    """Every key there is, and the number of the last change to them."""

    revision: int
    keys: tuple[ApiKey, ...]


class ApiKeyStore(Protocol):
    """Keeps API keys for all instances. Changes happen one after the other, wherever they are made."""

    async def revision(self) -> int:
        """The number of changes made to keys so far; a new last use is none. Raises KeysUnavailable.

        -1 if the store has no place for keys yet, and therefore none.
        """

    async def read(self) -> KeySnapshot:
        """All keys, oldest first, as of one moment. Raises KeysUnavailable."""

    async def add(self, key: ApiKey) -> bool:
        """Keep a new key; `False`, and nothing happens, if there is one with its id.

        Makes room by forgetting keys that have been dead for long. Raises KeysUnavailable, InvalidRequest if
        there are `limits.API_KEYS_MAX` all the same.
        """

    async def replace(self, key_id: str, successor: ApiKey, ends_at: float) -> ApiKey | None:
        """Keep the successor and end the key at `ends_at` at the latest, both or neither.

        Returns the old key as it is now, `None` if there is none with this id. Raises as `add` does.
        """

    async def revoke(self, key_id: str, revoked_at: float) -> ApiKey | None:
        """End the key for good, and return it as it is now; `None` if there is none.

        A key revoked before stays as it is. Raises KeysUnavailable.
        """

    async def note_used(self, used: Mapping[str, float]) -> None:
        """Keep the last use of each key, where it is later than the one known. Raises KeysUnavailable."""


# --- providers

PROVIDER_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
"""chosen: what a provider may be called; it stands in events, metrics and answers."""

WEB_SCHEMES = frozenset({"http", "https"})
"""The URL schemes of the web."""


class ProviderTiming(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds one attempt may take, by depth, and seconds kept for the provider while others are tried.

    The defaults are for web providers: Tavily answers basic searches in about 1 s and advanced ones in 2 to
    5; Jina's published mean is 2.5 s for a search and 7.9 s for a page.
    """

    search_s: float = 5.0
    search_advanced_s: float = 7.0
    extract_s: float = 20.0
    search_reserve_s: float = 3.0
    extract_reserve_s: float = 9.0


class Provider(Protocol):
    """An upstream search tool. Its two operations have the shape of a Service; a missing one is not offered.

    `search` and `extract` raise ProviderError subclasses only, never retry, and leave timing to the stages
    around them; cancelling them releases their connection. A valid empty answer is returned, not raised.
    """

    @property
    def name(self) -> str:
        """The registered name, as `PROVIDER_NAME` has it."""

    @property
    def operations(self) -> frozenset[str]:
        """Which of `search`, `extract` it offers."""

    @property
    def schemes(self) -> frozenset[str]:
        """The schemes its results' URLs may have: `WEB_SCHEMES` if it searches the web."""

    @property
    def timing(self) -> ProviderTiming | None:
        """Its own times, or `None` if those of the operator's policy suit it."""

    def search_estimate(self, request: SearchRequest) -> Cost:
        """The most that the search can be expected to cost; free if nobody bills it."""

    def extract_estimate(self, request: ExtractRequest) -> Cost:
        """The most that the extract can be expected to cost."""

    async def search(self, call: Call[SearchRequest]) -> Found[SearchAnswer]:
        """Search once."""

    async def extract(self, call: Call[ExtractRequest]) -> Found[ExtractAnswer]:
        """Read the pages once; pages it could not read are failures of the answer, not errors."""

    async def aclose(self) -> None:
        """Release connections. Safe to call twice."""


@runtime_checkable
class RelayProvider(Protocol):
    """A provider that takes requests as they are, which nobody else could answer (relays.py)."""

    @property
    def name(self) -> str:
        """The registered name."""

    @property
    def relays(self) -> frozenset[str]:
        """Which of `relays.OPERATIONS` it takes."""

    def relay_estimate(self, request: RelayRequest) -> Cost:
        """The most that the request can be expected to cost."""

    async def relay(self, call: Call[RelayRequest]) -> Found[RelayAnswer]:
        """Pass it on once. Raises ProviderError, and CallerError where the request itself is refused."""
