"""One log line for each fact that belongs to no execution: a circuit that opened, a budget that is spent.

Who reads logs wants to be woken by the level: WARNING is something to look at, ERROR something to do now.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator import facts
from orchestrator.events import Envelope, Event
from orchestrator.projections.log_lines import ERROR, INFO, WARNING, Line, word
from orchestrator.projections.sentences import seconds

FACTS = "amos.fact"
"""The name under which facts are logged."""

OURS = ("provider", "kind", "client", "key_id", "account", "period", "percent", "store", "tier", "cause")
"""What a line has of a fact under `amos`, by the name it has there; `by` and `reason` have fields in ECS."""

_AUTHENTICATION = (["authentication"], ["start"])
_CONFIGURATION = (["configuration"], ["change"])
_IAM = (["iam"], ["change"])

_CLASSES: dict[type[Event], tuple[list[str], list[str]]] = {
    facts.CallersRefused: _AUTHENTICATION,
    facts.ProviderRegistered: _CONFIGURATION,
    facts.ProviderMoved: _CONFIGURATION,
    facts.ProviderEnabled: _CONFIGURATION,
    facts.ProviderDisabled: _CONFIGURATION,
    facts.ProviderRemoved: _CONFIGURATION,
    facts.KeyCreated: (["iam"], ["creation"]),
    facts.KeyRotated: _IAM,
    facts.KeyRevoked: (["iam"], ["deletion"]),
    facts.InstanceStarted: (["process"], ["start"]),
    facts.InstanceStopped: (["process"], ["end"]),
}
"""ECS's categories and types of those facts for which it has one."""

_Telling = tuple[str, Callable[[Any], str]]

_TOLD: dict[type[Event], _Telling] = {
    facts.CallersRefused: (INFO, lambda it: f"{it.count} refused at the door: {word(it.reason)}"),
    facts.CircuitOpened: (
        WARNING,
        lambda it: (
            f"the circuit of {word(it.provider)} is open for {seconds(it.cooldown_s)}: {word(it.reason)}"
        ),
    ),
    facts.CircuitHalfOpened: (INFO, lambda it: f"the circuit of {word(it.provider)} lets one probe pass"),
    facts.CircuitClosed: (INFO, lambda it: f"the circuit of {word(it.provider)} is closed again"),
    facts.ProviderKeyRested: (
        WARNING,
        lambda it: (
            f"key {it.key_number} of {word(it.provider)} rests for {seconds(it.rest_s)}: {word(it.reason)}"
        ),
    ),
    facts.ProviderRegistered: (
        INFO,
        lambda it: f"provider {word(it.provider)} ({word(it.kind)}) registered with priority {it.priority}",
    ),
    facts.ProviderMoved: (INFO, lambda it: f"provider {word(it.provider)} moved to priority {it.priority}"),
    facts.ProviderEnabled: (INFO, lambda it: f"provider {word(it.provider)} enabled"),
    facts.ProviderDisabled: (INFO, lambda it: f"provider {word(it.provider)} disabled"),
    facts.ProviderRemoved: (INFO, lambda it: f"provider {word(it.provider)} removed"),
    facts.ProviderBlockedLoop: (
        WARNING,
        lambda it: f"provider {word(it.provider)} held up everybody for {seconds(it.duration_s)}",
    ),
    facts.ProviderCallAbandoned: (
        WARNING,
        lambda it: f"provider {word(it.provider)} did not end a cancelled call; {it.under_way} go on",
    ),
    facts.CacheResized: (
        INFO,
        lambda it: f"cache {word(it.tier)} may hold {it.bytes_max} bytes: {word(it.reason)}",
    ),
    facts.CacheCleared: (
        INFO,
        lambda it: f"cache {', '.join(map(word, it.tiers))} cleared of {it.entries} answers",
    ),
    facts.WarmingFinished: (
        INFO,
        lambda it: (
            f"warming ended ({word(it.ended_by)}): {it.warmed} warmed, {it.failed} failed, "
            f"{it.skipped} were fresh"
        ),
    ),
    facts.BudgetWarned: (
        WARNING,
        lambda it: f"{it.percent} % of the budget {word(it.account)} for {word(it.period)} are spent",
    ),
    facts.BudgetStopped: (
        ERROR,
        lambda it: f"the budget {word(it.account)} for {word(it.period)} is spent; calls do not fit any more",
    ),
    facts.UsageReconciled: (
        INFO,
        lambda it: (
            f"{word(it.provider)} has counted {it.reported:g} {word(it.unit)}, the record {it.recorded:g}"
        ),
    ),
    facts.KeyCreated: (INFO, lambda it: f"key {word(it.key_id)} created for {word(it.client)}"),
    facts.KeyRotated: (INFO, lambda it: f"key {word(it.key_id)} takes the place of {word(it.replaces)}"),
    facts.KeyRevoked: (INFO, lambda it: f"key {word(it.key_id)} of {word(it.client)} revoked"),
    facts.StoreLost: (WARNING, lambda it: f"store {word(it.store)} is out of reach: {word(it.reason)}"),
    facts.StoreRestored: (
        INFO,
        lambda it: f"store {word(it.store)} answers again after {seconds(it.outage_s)}",
    ),
    facts.InstanceStarted: (INFO, lambda it: f"process {it.pid} records, version {word(it.version)}"),
    facts.InstanceStopped: (INFO, lambda it: f"process {it.pid} records no more, in good order"),
}
"""Of each fact the level and the sentence; a test names one that is missing."""


def fact_line(node: str, envelope: Envelope) -> Line | None:
    """The line of a fact; `None` for an event of a later version."""
    fact = envelope.event
    if type(fact) not in _TOLD:
        return None
    level, sentence = _TOLD[type(fact)]
    event: dict[str, Any] = {"kind": "event", "dataset": FACTS, "action": _name(fact)}
    if type(fact) in _CLASSES:
        event["category"], event["type"] = _CLASSES[type(fact)]
    fields: dict[str, Any] = {"event": event}
    if reason := getattr(fact, "reason", ""):
        event["reason"] = word(reason)
    if pid := getattr(fact, "pid", 0):
        fields["process"] = {"pid": pid}
    if by := getattr(fact, "by", ""):
        fields["user"] = {"name": word(by)}
    if ours := {name: _value(fact, name) for name in OURS if getattr(fact, name, "") != ""}:
        fields["amos"] = ours
    who = f" by {word(by)}" if by else ""
    message = f"{sentence(fact)}{who}"
    return Line(at=envelope.at, level=level, logger=FACTS, node=word(node), message=message, fields=fields)


def _name(fact: Event) -> str:
    """`circuit.opened` of `amos.circuit.opened.v1`."""
    return str(fact.__struct_config__.tag).removeprefix("amos.").rpartition(".")[0]


def _value(fact: Event, name: str) -> str | int:
    value = getattr(fact, name)
    return value if isinstance(value, int) else word(value)
