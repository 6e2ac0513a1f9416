"""A FactSink that keeps what it is given."""

from __future__ import annotations

from orchestrator.events import Event


class Facts:
    """What was recorded, in order; with a `stream` nothing else may go to another."""

    def __init__(self, stream: str = "") -> None:
        self.events: list[Event] = []
        self.streams: list[str] = []
        self._stream = stream

    def record_fact(self, stream: str, event: Event) -> None:
        """Keep the fact."""
        assert stream == (self._stream or stream)
        self.events.append(event)
        self.streams.append(stream)

    def count_refusal(self, reason: str) -> None:
        """Nobody is turned away by what is tested with this."""
        raise AssertionError(reason)

    def kinds(self) -> list[str]:
        """The names of the facts."""
        return [type(event).__name__ for event in self.events]
