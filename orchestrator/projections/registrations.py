"""What was said of providers at run time, folded from the facts about them: the last word of each counts.

Of a provider of the settings only its place and its switch can be said. What both come to together is in
orchestrator/registrations.py, because the settings are in no event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

from orchestrator.events import Envelope
from orchestrator.facts import (
    ProviderDisabled,
    ProviderEnabled,
    ProviderMoved,
    ProviderRegistered,
    ProviderRemoved,
)


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What was said of one provider, the last time at `at` by the client `by`.

    `kind` is `""` if it was not registered at run time; `priority` and `is_enabled` are `None` as long as
    nothing was said of them.
    """

    kind: str = ""
    options: Mapping[str, Any] = {}
    priority: int | None = None
    is_enabled: bool | None = None
    at: float = 0.0
    by: str = ""


Changes: TypeAlias = Mapping[str, Said]
"""What was said, by the name of the provider."""


class Registrations:
    """The projection of the stream `providers`."""

    def initial(self) -> Changes:
        """Nothing was said."""
        return {}

    def evolve(self, state: Changes, envelope: Envelope) -> Changes:
        """What was said after one more event; one that is not about a provider changes nothing."""
        match envelope.event:
            case ProviderRegistered() as new:
                said = Said(
                    kind=new.kind, options=new.options, priority=new.priority, is_enabled=new.is_enabled
                )
            case ProviderMoved() as moved:
                said = replace(state.get(moved.provider, Said()), priority=moved.priority)
            case ProviderEnabled() as enabled:
                said = replace(state.get(enabled.provider, Said()), is_enabled=True)
            case ProviderDisabled() as disabled:
                said = replace(state.get(disabled.provider, Said()), is_enabled=False)
            case ProviderRemoved() as removed:
                return {name: said for name, said in state.items() if name != removed.provider}
            case _:
                return state
        event = envelope.event
        return {**state, event.provider: replace(said, at=envelope.at, by=event.by)}
