"""Whether what a plug-in handed us is what it should be: the provider itself, a cost, an error.

Annotations promise much that Python does not hold a stranger to; so everything is taken for anything here.
"""

from __future__ import annotations

import math
import re
from typing import Any

from orchestrator import limits
from orchestrator.errors import CircuitOpen, ProviderError, ProviderHeldBack
from orchestrator.events import Cost
from orchestrator.ports import WEB_SCHEMES, ProviderTiming

METHODS = ("search", "extract", "search_estimate", "extract_estimate", "aclose")
"""What every provider has, whether or not it offers the operation."""

LINK_SCHEMES = WEB_SCHEMES | {"file"}
"""The schemes a result's URL may have, whoever finds it; of others (`javascript`) nobody is shown any."""


def flaw(provider: Any, name: str) -> str:
    """Why the object cannot be a provider of this name, `""` if it can. Looks at attributes alone."""
    missing = [method for method in METHODS if not callable(getattr(provider, method, None))]
    if missing:
        return f"it has no {missing[0]}()"
    if getattr(provider, "name", None) != name:
        return "its name is not the one it was given"
    operations = getattr(provider, "operations", None)
    if not isinstance(operations, frozenset) or not frozenset() < operations <= {"search", "extract"}:
        return "its operations are no frozenset of `search`, `extract` or both"
    schemes = getattr(provider, "schemes", None)
    if not isinstance(schemes, frozenset) or not frozenset() < schemes <= LINK_SCHEMES:
        return "its schemes are no frozenset of `http`, `https` and `file`"
    return _timing_flaw(getattr(provider, "timing", None))


def _timing_flaw(timing: Any) -> str:
    if timing is None:
        return ""
    if not isinstance(timing, ProviderTiming):
        return "its timing is neither None nor a ProviderTiming"
    seconds = [getattr(timing, field) for field in timing.__struct_fields__]
    is_fine = all(isinstance(one, int | float) and math.isfinite(one) and one >= 0 for one in seconds)
    return "" if is_fine else "its timing has something other than seconds"


def cost_fault(cost: Any) -> str:
    """What is wrong with a cost or an estimate, `""` if nothing is."""
    if not isinstance(cost, Cost):
        return "its cost is no Cost"
    stated: Any = cost
    amount, micros, unit = stated.amount, stated.usd_micros, stated.unit
    if not (_is_number(amount) and 0 <= amount <= limits.BILLED_TOKENS_MAX):
        return f"its cost has an amount that is not between 0 and {limits.BILLED_TOKENS_MAX:.0f}"
    if not (type(micros) is int and 0 <= micros <= limits.COUNT_MAX):
        return "its cost has usd_micros that are no whole number from 0 on"
    if not (isinstance(unit, str) and len(unit) <= limits.NAME_CHARS_MAX):
        return "its cost has a unit that is no short text"
    return ""


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def is_sound(error: ProviderError, name: str) -> bool:
    """Whether an error says what it should; the two that mean "not called" are for stages alone."""
    stated: Any = error
    return (
        not isinstance(error, CircuitOpen | ProviderHeldBack)
        and stated.provider == name
        and isinstance(stated.reason, str)
        and re.fullmatch(r"[a-z][a-z0-9_]{0,39}", stated.reason) is not None
        and not cost_fault(stated.cost)
        and (stated.assumed is None or not cost_fault(stated.assumed))
        and (stated.retry_after_s is None or (_is_number(stated.retry_after_s) and stated.retry_after_s >= 0))
    )
