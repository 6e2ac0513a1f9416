"""What the record says of the last hour: calls without an answer, ill providers, callers turned away, money.

It reads the reports that `amos report health` and `amos budget` show, here or of a server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from api.cli.doctor_finding import FAILURE, OK, WARNING, Finding
from api.cli.quantities import number, ratio

WINDOW = "1h"
"""chosen: long enough to see what somebody complains of, short enough to be what is wrong now."""

AVAILABILITY_MIN = 0.9
"""chosen: with every tenth call lost it does not work; fewer are a warning."""

SUCCESS_MIN = 0.5
"""chosen: a provider that fails more often than it answers; /health has the same bound."""

CALLS_MIN = 5
"""chosen: of fewer calls a share says nothing."""

WARNED_RATIO, NEAR_RATIO = 0.75, 1.0
"""chosen: the first mark of a budget (docs/operations/budgets.md), and its end."""

KEY_REFUSED, QUOTA_GONE = "key_refused", "quota"
"""Reasons for failures that do not pass by themselves."""

REFUSED = {
    "proxied": "A proxy forwards them and no key was shown. Is it named in AMOS_TRUSTED_PROXIES, "
    "and does it pass on `Authorization`?",
    "foreign_peer": "They come from another machine without a key: `amos keys create --client NAME`.",
    "foreign_host": "They name another host: AMOS_ALLOWED_HOSTS may name it, or see who does that.",
    "foreign_origin": "A page of another origin asks: AMOS_ALLOWED_ORIGINS may name it.",
    "no_credential": "They show no key: `amos keys create --client NAME` makes one. Whoever opens the "
    "console and has not logged in yet is counted too.",
    "unknown_key": "They show keys that are not known here; `amos keys list` shows those that are.",
    "wrong_secret": "They show keys with a wrong secret: a typing error, or somebody tries.",
    "expired_key": "Their keys have expired: `amos keys rotate ID` makes a new one.",
    "revoked_key": "Their keys were revoked: `amos keys create --client NAME` makes a new one.",
    "rotated_key": "Their keys were rotated: tell the client the new one.",
    "overloaded": "More calls came than there is room for: more instances, or a larger AMOS_CONCURRENCY_MAX.",
}
"""What helps against which reason for turning a caller away."""

_REFUSED_ELSE = "`amos report health --since 1h` counts them by reason; docs/security.md explains each."


def check_lately(health: Mapping[str, Any]) -> Iterator[Finding]:
    """The findings of a health report over the last hour."""
    yield _calls(health["requests"], health["availability"])
    for provider in health["providers"]:
        yield from _provider(provider)
    if refused := health["refused"]:
        reason = max(refused, key=refused.__getitem__)
        turned_away = sum(refused.values())
        count = f"{number(turned_away)} call{'' if turned_away == 1 else 's'}"
        yield Finding(
            name="callers",
            status=WARNING,
            detail=f"{count} of the last hour turned away: {_counts(refused)}",
            effect="They got a 401, 403, 421 or 503; everybody else is served.",
            next_step=REFUSED.get(reason, _REFUSED_ELSE),
        )


def _calls(requests: Mapping[str, Any], availability: float | None) -> Finding:
    total, failed = requests["total"], requests["failed"] - requests["callers_own"]
    if failed <= 0 or availability is None:
        return Finding(name="calls of the last hour", status=OK, detail=f"{number(total)}, none lost")
    return Finding(
        name="calls of the last hour",
        status=FAILURE if availability < AVAILABILITY_MIN else WARNING,
        detail=f"{number(failed)} of {number(total)} had no answer: {_counts(requests['errors'])}",
        effect=f"{ratio(availability)} of the calls had a useful answer.",
        next_step="`amos executions --outcome failed --since 1h` lists them; `amos events show ID` says why.",
    )


def _provider(row: Mapping[str, Any]) -> Iterator[Finding]:
    """A provider that fails often, or for a reason that does not pass by itself."""
    failures = [one for one in row["failures"] if one["outcome"] != "skipped"]
    if not failures:
        return
    worst = max(failures, key=lambda one: one["calls"])
    reasons = {one["reason"] for one in failures}
    success = row["success_ratio"]
    fails_often = success is not None and success < SUCCESS_MIN and row["calls"] >= CALLS_MIN
    lasting = reasons & {KEY_REFUSED, QUOTA_GONE}
    if not fails_often and not lasting:
        return
    yield Finding(
        name=f"provider {row['provider']}, last hour",
        status=WARNING,
        detail=f"{number(row['failed'])} of {number(row['calls'])} calls failed, "
        f"{number(worst['calls'])} with {worst['reason'] or worst['outcome']}",
        next_step=_mend(row["provider"], reasons),
    )


def _mend(provider: str, reasons: set[str]) -> str:
    online = "`amos doctor --online` asks it once with each key."
    if KEY_REFUSED in reasons:
        return f"It refuses the key: look at {provider.upper()}_API_KEY. {online}"
    if QUOTA_GONE in reasons:
        return f"Its quota is used up: raise the plan, or add a key to {provider.upper()}_API_KEY. {online}"
    return f"Look at its status page and at the way there. {online}"


def check_budget(budget: Mapping[str, Any]) -> Iterator[Finding]:
    """What of the limits is nearly or all spent."""
    for account in budget["accounts"]:
        spent = account["spent_ratio"]
        status = FAILURE if spent >= NEAR_RATIO else WARNING if spent >= WARNED_RATIO else OK
        yield Finding(
            name=f"budget {account['account']} {account['period']}",
            status=status,
            detail=f"{ratio(spent)} of {number(account['limit'])} {account['unit']} are spent",
            next_step="`amos report cost` shows where it went; docs/operations/budgets.md names each limit."
            if status != OK
            else "",
        )


def _counts(counted: Mapping[str, int]) -> str:
    ordered = sorted(counted.items(), key=lambda one: -one[1])
    return ", ".join(f"{name} {number(count)}" for name, count in ordered)
