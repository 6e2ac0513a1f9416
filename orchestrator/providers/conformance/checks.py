"""All checks, in the order in which they are best read, and running them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from orchestrator.providers.conformance import answers, conduct, identity
from orchestrator.providers.conformance.subject import Check, Subject, Verdict

ALL: tuple[Check, ...] = (*identity.CHECKS, *answers.CHECKS, *conduct.CHECKS)
"""Every check there is."""


def asks(checks: Iterable[Check] = ALL) -> int:
    """How many questions they put to a provider at most, together."""
    return sum(check.asks for check in checks)


async def run(
    subject: Subject, checks: Iterable[Check] = ALL, tell: Callable[[Verdict], None] = lambda _verdict: None
) -> tuple[Verdict, ...]:
    """Hold the subject against the checks one after the other; `tell` hears of each as it is done."""
    verdicts = []
    for check in checks:
        verdict = await check.on(subject)
        tell(verdict)
        verdicts.append(verdict)
    return tuple(verdicts)
