"""What is worth fetching ahead of its callers, and in which order: warming as numbers.

What was asked often will be asked again. Which answers are about to be missing the cache itself knows, so a
plan is only a ranking; whether an answer is still fresh is looked up when its turn comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from orchestrator.asked import asked_again
from orchestrator.canonical import search_key
from orchestrator.errors import InvalidRequest
from orchestrator.filters.validate import check_search
from orchestrator.model import SearchRequest
from orchestrator.ports import CacheEntry

WAIT_S = 1.0
"""Tavily answers a basic search in about a second: the wait that is spared where none was measured."""


class WarmingPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How much is warmed, and how gently.

    Candidates are the `top` searches with the most calls in the last `window_s`, at least `calls_min` each.
    One is fetched if its answer is absent, or fresh for less than `horizon_s` more and in the second half of
    its life: what was just paid for is not paid for again. The order is by the waiting that is spared:

        saving_s = calls x (time spent on fetches / fetches)

    A run spends `usd_micros_max` at most (millionths of a US dollar): the dearest that a search can be
    expected to become is set aside before it begins. `lanes` searches are under way at once; between two of a
    lane lie `pause_s`, times 0.5 to 1.5 by chance. After `lost_max` searches in a row that the first provider
    did not answer a run ends. All chosen: a week has every weekday once; a quarter of an hour is what a run
    of a thousand takes; two lanes are less than one busy agent; a provider that fails twice in a row is ill.
    """

    top: int = 100
    window_s: float = 604_800.0
    calls_min: int = 2
    horizon_s: float = 900.0
    usd_micros_max: int = 1_000_000
    lanes: int = 2
    pause_s: float = 1.0
    lost_max: int = 2

    def is_due(self, entry: CacheEntry | None, now: float) -> bool:
        """Whether an answer, `None` if there is none, is worth fetching anew."""
        if entry is None:
            return True
        life_s = entry.fresh_until - entry.stored_at
        return entry.fresh_until - now <= min(self.horizon_s, life_s / 2)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A search as the record has it: how often it was asked in a window, and what it was.

    `fetched` of the `calls` went to a provider; `duration_us` are the microseconds of all calls together.
    `text` is `None` if it is not kept, `options` as `asked.options_of` writes them.
    """

    key: str
    calls: int
    fetched: int = 0
    duration_us: int = 0
    text: str | None = None
    options: str = ""

    @property
    def saving_s(self) -> float:
        """The waiting that a fresh answer spares its callers in such a window, in seconds.

        Calls that were not fetched take next to no time, so what all took is what the fetches took.
        """
        wait_s = self.duration_us / self.fetched / 1e6 if self.fetched else 0.0
        return self.calls * (wait_s or WAIT_S)

    def request(self) -> SearchRequest | None:
        """The search, if it can be asked again and would be answered under the same key.

        It would not if its text was erased, if its options are not known, if another version of AMOS has
        written them, or if answers are kept for each client by itself.
        """
        request = None if self.text is None else asked_again(self.text, self.options)
        if request is None:
            return None
        try:
            request, _ = check_search(request)
        except InvalidRequest:
            return None
        return request if search_key(request) == self.key else None


class AskedStore(Protocol):
    """What warming reads of the record. Both methods raise EventLogUnavailable."""

    async def most_asked(self, since: float, until: float, limit: int) -> list[Asked]:
        """The searches with the most calls between two moments, in epoch seconds; most first."""

    async def warmed_at(self) -> float:
        """When the last warming by schedule came to its end, in epoch seconds; 0 if none did."""


def ranked(asked: Sequence[Asked], policy: WarmingPolicy) -> list[Asked]:
    """The candidates in the order in which they are worth it."""
    often = (one for one in asked if one.calls >= policy.calls_min)
    return sorted(often, key=lambda one: (-one.saving_s, one.key))


TOP_MAX = 1_000
"""chosen: a run of so many at two lanes takes ten minutes; what is asked less often than a thousand others
is rarely asked in the life of an answer."""
