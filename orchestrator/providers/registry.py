"""Which providers there are, in which order they are asked, and which are missing what.

The composition offers a maker for each name it knows; the operator's list of names decides the order. A
provider without a credential is no error: it is left out of the chain and shown with the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec

from orchestrator.errors import SettingsError
from orchestrator.ports import Provider


class Unconfigured(msgspec.Struct, frozen=True, kw_only=True):
    """A provider that cannot be called, and what is missing, e.g. `TAVILY_API_KEY is not set`."""

    name: str
    reason: str


class Roster(msgspec.Struct, frozen=True, kw_only=True):
    """The providers of this installation: those to ask, in order, and those left out."""

    providers: tuple[Provider, ...]
    unconfigured: tuple[Unconfigured, ...] = ()

    @property
    def reasons(self) -> dict[str, str]:
        """Why each of those left out was."""
        return {one.name: one.reason for one in self.unconfigured}

    async def aclose(self) -> None:
        """Release the connections of all providers. Safe to call twice."""
        for provider in self.providers:
            await provider.aclose()


Maker = Callable[[], Provider | Unconfigured]
"""Makes a provider, or tells what is missing. Called only for names that were asked for, once each."""


def enrol(names: Sequence[str], makers: Mapping[str, Maker]) -> Roster:
    """Make the named providers, in that order.

    Raises SettingsError for a name nobody knows or one given twice, before anything is made; all faults in
    one message.
    """
    unknown = [name for name in dict.fromkeys(names) if name not in makers]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    faults = []
    if unknown:
        known = ", ".join(sorted(makers))
        faults.append(f"unknown provider {', '.join(map(repr, unknown))}; known are: {known}")
    if repeated:
        faults.append(f"provider {', '.join(map(repr, repeated))} is named more than once")
    if faults:
        raise SettingsError(f"The list of providers cannot be used: {'; '.join(faults)}.")
    made = [makers[name]() for name in names]
    return Roster(
        providers=tuple(each for each in made if not isinstance(each, Unconfigured)),
        unconfigured=tuple(each for each in made if isinstance(each, Unconfigured)),
    )
