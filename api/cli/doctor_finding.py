"""What `amos doctor` finds: each thing with its state, since when, what callers feel, what helps."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

OK, UNCONFIGURED, WARNING, FAILURE = "ok", "unconfigured", "warning", "failure"
"""What a finding says: all is well; nobody asked for it; it may hurt one day; it does not work."""

WORST_FIRST = (FAILURE, WARNING, OK, UNCONFIGURED)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing looked at.

    `status` is one of the four above. `since` is when it got that way, epoch seconds, 0 if nobody knows;
    `effect` what it means for callers; `next_step` is `""` when nothing is to be done.
    """

    name: str
    status: str
    detail: str
    since: float = 0.0
    effect: str = ""
    next_step: str = ""

    @property
    def is_bad(self) -> bool:
        """Whether somebody should look at it."""
        return self.status in {WARNING, FAILURE}


_NEXT_PROVIDER = (
    "Calls go to the next provider; without one, new questions get a 503 and known ones old answers."
)

EFFECTS = {
    "server": "Nobody is answered at that address.",
    "data folder": "`amos serve` does not start, and no command can record anything.",
    "disk": "Calls are refused as soon as the journal cannot be written.",
    "journal": "Beyond AMOS_JOURNAL_MAX_BYTES, or when the disk refuses, no call is answered (503).",
    "recorder": "Answers go on; reports, `/metrics` and the console lack what waits in the journal.",
    "database": "Answers go on, with the keys last seen; no reports, no `/metrics`, no new keys.",
    "reports": "Answers go on; reports, `/metrics` and budgets of the record lack the latest.",
    "keys": "Keys last seen stay in force; with none seen since the start, everybody gets a 503.",
    "registrations": "Calls go to the providers last seen; what was changed elsewhere is not in force.",
    "start": "`amos serve` does not start.",
    "port": "`amos serve` does not start.",
    "certificate": "Clients refuse the connection once it is not valid.",
    "redis": "Answers go on; each process caches, limits and counts for itself.",
    "cache:l2": "Answers go on; each process caches, limits and counts for itself.",
    "cache:l1": "Answers are kept for less long, so more is paid for.",
    "clock": "Ages of answers, limits, budgets and reports are counted from a wrong time.",
    "traces": "None; calls are served and recorded all the same.",
    "plugins": "Calls go to the other providers.",
    "providers": "No search has an answer.",
    "budget": "At the limit calls that cost money are refused, or go to free providers (else 432).",
    "usage": "None; but the bill may differ from the reports.",
    "provider": _NEXT_PROVIDER,
    "online": _NEXT_PROVIDER,
    "circuit": _NEXT_PROVIDER,
}
"""What callers feel, by the name of a finding or by its first word."""


def explained(findings: Iterable[Finding]) -> list[Finding]:
    """The findings, the worst first; those that are bad with what callers feel.

    What is well configured (`provider tavily`) is not called sound beside how it fares (`provider tavily,
    last hour`).
    """
    told = [
        msgspec.structs.replace(one, effect=_effect(one.name)) if one.is_bad and not one.effect else one
        for one in findings
    ]
    ill = {one.name.partition(",")[0] for one in told if one.is_bad}
    sound = [one for one in told if one.is_bad or one.status != OK or one.name not in ill]
    return sorted(sound, key=lambda one: WORST_FIRST.index(one.status))


def _effect(name: str) -> str:
    return EFFECTS.get(name) or EFFECTS.get(name.replace(":", " ").partition(" ")[0], "")
