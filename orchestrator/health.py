"""How each component is, as it is shown to whoever operates AMOS: its state, since when, why, and what to do.

What holds state has a probe beside it (api/probes.py); here are those that are told from the record and from
the circuits.
"""

from __future__ import annotations

import msgspec

from orchestrator import limits
from orchestrator.budget_policy import PROVIDER, Account, usd
from orchestrator.events import MILLION
from orchestrator.filters.circuit_breaker import Circuit
from orchestrator.providers.guard import Complaint
from orchestrator.providers.registry import Kinds
from orchestrator.reconciliation import Look
from orchestrator.record_watch import Recent, Seen, Spending
from orchestrator.reports.totals import Standing


class ComponentHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One component as it is now. `status` is `ok`, `degraded`, `down` or `unconfigured`.

    `since` is when it got that way, epoch seconds; `detail` says why in a sentence, and may be `""` when all
    is well; `advice` what to do, `""` if nothing is to be done. `latency_s` is how long it took to ask it,
    `None` if it was not asked.
    """

    name: str
    status: str
    since: float
    detail: str = ""
    advice: str = ""
    latency_s: float | None = None


def record_health(seen: Seen, now: float) -> tuple[ComponentHealth, ...]:
    """The database and the reports in it, as the last look saw them at a moment of epoch seconds.

    Neither keeps calls from being answered, so neither is down.
    """
    return _database_health(seen), _reports_health(seen, now), *map(_budget_health, seen.spendings)


def _database_health(seen: Seen) -> ComponentHealth:
    if seen.fault:
        return ComponentHealth(
            name="database", status="degraded", since=seen.since, detail=seen.fault, advice=_MEND_DATABASE
        )
    is_known = seen.standing is not None
    return ComponentHealth(
        name="database",
        status="ok",
        since=seen.since,
        detail="" if is_known else "It is being asked for the first time.",
        latency_s=seen.latency_s,
    )


def _reports_health(seen: Seen, now: float) -> ComponentHealth:
    standing = seen.standing or Standing()
    lag_s = standing.lag_s(now)
    if lag_s > limits.REPORTS_LAG_S_MAX:
        return ComponentHealth(
            name="reports",
            status="degraded",
            since=now - lag_s + limits.REPORTS_LAG_S_MAX,
            detail=f"Reports lack what was recorded in the last {lag_s:.0f} s.",
            advice="Look at the component `recorder` and its log on every instance; `amos report health` "
            "counts what is there.",
        )
    parked = f"{standing.parked} frames hold what no report can count; `amos events verify` names them."
    return ComponentHealth(
        name="reports", status="ok", since=seen.since, detail=parked if standing.parked else ""
    )


def provider_health(
    circuit: Circuit, recent: Recent | None, complaint: Complaint | None = None
) -> ComponentHealth:
    """A provider by its circuit, by how its calls ended lately, and by what it did that it may not.

    `None` if nobody knows, and if it did nothing of the kind.
    """
    name = f"provider:{circuit.provider}"
    lately = ""
    if recent is not None and recent.success_ratio is not None:
        lately = f"{recent.success_ratio:.0%} of {recent.calls} calls in the last 15 minutes succeeded."
    if circuit.state != "closed":
        wait_s = max(0.0, circuit.retry_after_s)
        when = f"it may be called again in {wait_s:.0f} s" if wait_s else "one call looks whether it is back"
        again = f", {circuit.openings} times in a row" if circuit.openings > 1 else ""
        return ComponentHealth(
            name=name,
            status="down" if circuit.state == "open" else "degraded",
            since=circuit.since,
            detail=f"Circuit {circuit.state} after {circuit.reason}{again}; {when}. {lately}".rstrip(),
            advice="Calls go to the next provider until it answers again. If it stays, look at the "
            "provider's status page, plan and key; `amos doctor --online` asks it once.",
        )
    if recent is not None and recent.fails_often:
        return ComponentHealth(
            name=name,
            status="degraded",
            since=recent.since,
            detail=lately,
            advice="`amos report health` counts its failures by reason.",
        )
    if complaint is not None:
        return ComponentHealth(
            name=name,
            status="degraded",
            since=complaint.since,
            detail=f"{complaint.detail} {lately}".rstrip(),
            advice=f"Tell its author: `amos providers test {circuit.provider}` shows what is wrong. "
            "Disable it if others suffer.",
        )
    return ComponentHealth(name=name, status="ok", since=circuit.since, detail=lately)


def plugins_health(kinds: Kinds, since: float) -> ComponentHealth:
    """What is wrong with the plug-ins that are installed, whether or not one of them is used."""
    faults = [kinds.faults[name] for name in sorted(kinds.faults)]
    faults += [
        f"The plug-in {name} is not used: AMOS itself has a kind of this name." for name in kinds.shadowed
    ]
    return ComponentHealth(
        name="plugins",
        status="degraded" if faults else "ok",
        since=since,
        detail=" ".join(faults) or "All that were asked for could be loaded.",
        advice="Mend or uninstall it, and start again; the log has the traceback." if faults else "",
    )


def _budget_health(spending: Spending) -> ComponentHealth:
    account = spending.account
    of = f"{account.name.removeprefix(PROVIDER)}:" if account.is_of_provider else ""
    form = _units if account.is_of_provider else usd
    sums = f"{form(spending.spent)} of {form(account.limit)} {account.unit}"
    return ComponentHealth(
        name=f"budget:{of}{account.per}",
        status="degraded" if spending.is_near else "ok",
        since=spending.since,
        detail=f"{sums} of this {account.per} (UTC) are spent.",
        advice=_spent_advice(account) if spending.is_near else "",
    )


def _units(millionths: int) -> str:
    return f"{millionths / MILLION:,.0f}"


def _spent_advice(account: Account) -> str:
    """What to do about an account of which little is left."""
    per = account.per.upper()
    if account.is_of_provider:
        name = account.name.removeprefix(PROVIDER)
        variable = f"AMOS_{name.upper()}_{account.unit.upper()}_PER_{per}"
        what = f"At the limit {name} is passed by until the {account.per} is over"
    else:
        variable, what = f"AMOS_BUDGET_USD_PER_{per}", _NOBODY_PAID.format(account.per)
    return f"{what}. `amos report cost` shows where it went; {variable} is the limit."


def usage_health(look: Look, *, is_off: bool) -> ComponentHealth:
    """What a provider has counted beside what is recorded, as of the last look."""
    seen = look.fact
    return ComponentHealth(
        name=f"usage:{seen.provider}",
        status="degraded" if is_off else "ok",
        since=look.at,
        detail=f"It has counted {seen.reported:,.0f} {seen.unit} where {seen.recorded:,.0f} are recorded.",
        advice="`amos budget --reconcile` asks again. If it stays: who else uses the key, and are the prices "
        "those of the plan? Nothing is corrected by itself."
        if is_off
        else "",
    )


_NOBODY_PAID = "At the limit no paid provider is called until the {} is over"

_MEND_DATABASE = (
    "Look at the database and its log, and at AMOS_DATABASE_URL; the journal keeps what is recorded "
    "meanwhile. `amos doctor` tries it."
)
