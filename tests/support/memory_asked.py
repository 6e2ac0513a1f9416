"""What warming reads of the record, from a journal in memory."""

from __future__ import annotations

from collections import defaultdict

from orchestrator.events import Frame, RequestCompleted
from orchestrator.facts import WarmingFinished
from orchestrator.warming_plan import Asked


class MemoryAsked:
    """An AskedStore over the frames of a journal; `erased` are keys whose text is gone."""

    def __init__(self, frames: list[Frame]) -> None:
        self._frames = frames
        self.erased: set[str] = set()

    async def most_asked(self, since: float, until: float, limit: int) -> list[Asked]:
        """The searches with the most calls."""
        texts, options, ends = {}, {}, defaultdict(list)
        for frame in self._frames:
            texts |= frame.texts
            options |= frame.requests
            for envelope in frame.events:
                done = envelope.event
                if isinstance(done, RequestCompleted) and done.key and since <= envelope.at < until:
                    ends[done.key].append(done)
        asked = [
            Asked(
                key=key,
                calls=len(done),
                fetched=sum(one.cache == "miss" for one in done),
                duration_us=sum(round(one.duration_s * 1e6) for one in done),
                text=None if key in self.erased else texts.get(key),
                options=options.get(key, ""),
            )
            for key, done in ends.items()
        ]
        return sorted(asked, key=lambda one: (-one.calls, one.key))[:limit]

    async def warmed_at(self) -> float:
        """When the last warming by schedule came to its end."""
        return max(
            (
                envelope.at
                for frame in self._frames
                for envelope in frame.events
                if isinstance(envelope.event, WarmingFinished)
                and envelope.event.cause == "schedule"
                and envelope.event.ended_by != "cancelled"
            ),
            default=0.0,
        )
