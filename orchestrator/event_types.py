"""Every type of event there is: what the codec decodes, and what the golden samples cover."""

from __future__ import annotations

from orchestrator import events, facts
from orchestrator.events import AttemptEvent, Event

_BASES = {Event, AttemptEvent}

_structs = (
    value for value in (*vars(events).values(), *vars(facts).values()) if isinstance(value, type(Event))
)

EVENT_TYPES: tuple[type[Event], ...] = tuple(
    sorted(
        {cls for cls in _structs if issubclass(cls, Event)} - _BASES,
        key=lambda cls: str(cls.__struct_config__.tag),
    )
)
"""Every event class but the bases, by type name. The codec decodes exactly these."""
