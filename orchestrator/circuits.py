"""What processes tell each other of a provider's circuit: the values of the port CircuitBoard."""

from __future__ import annotations

import msgspec


class CircuitReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one process has seen of a provider.

    `kind`: `looked` (nothing, it only asks), `failed`, `opened` (by failures), `paused` (opened because the
    provider asked for it), `remembered` (it is open here, and the others have forgotten or never heard),
    `answered` (a success after failures or openings), `closed` (a probe succeeded), `revived` (a call of last
    resort did, ahead of time) or `probed` (a probe is over).

    `pauses_s` says how long it shall be open, the first, second, … time in a row, the last one also later;
    `openings` is which time this is as far as this process knows.
    """

    provider: str
    kind: str
    failures_max: int = 0
    pauses_s: tuple[float, ...] = ()
    openings: int = 0
    reason: str = ""
    is_quota: bool = False


class SharedCircuit(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's circuit as all processes together see it. `state`: `open`, `closed`, `""` if nobody told.

    `failures` counts those in a row while closed, `openings` how often it has opened since all was well for
    the last time. An open circuit may be probed when `left_s` is 0. `is_ours`: it is by the report just made
    that it has opened.
    """

    state: str = ""
    failures: int = 0
    openings: int = 0
    left_s: float = 0.0
    cooldown_s: float = 0.0
    reason: str = ""
    is_quota: bool = False
    is_ours: bool = False
