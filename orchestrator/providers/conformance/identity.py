"""What a provider says of itself before it is asked anything: name, operations, schemes, times, prices."""

from __future__ import annotations

import math
from typing import Any

from orchestrator.model import ExtractRequest, SearchRequest
from orchestrator.ports import PROVIDER_NAME, ProviderTiming
from orchestrator.providers.conformance.subject import Check, Failed, Subject
from orchestrator.providers.soundness import LINK_SCHEMES, METHODS, cost_fault


async def _name(subject: Subject) -> None:
    name: Any = subject.provider.name
    if not isinstance(name, str) or PROVIDER_NAME.fullmatch(name) is None:
        raise Failed("Its name is no lower-case word of at most 32 letters, digits and _.")
    if subject.name not in (None, name):
        raise Failed(f"It was made as {subject.name} and calls itself {name}.")


async def _operations(subject: Subject) -> None:
    operations: Any = subject.provider.operations
    if not isinstance(operations, frozenset) or not frozenset() < operations <= {"search", "extract"}:
        raise Failed("Its operations are no frozenset of `search`, `extract` or both.")
    if missing := [method for method in METHODS if not callable(getattr(subject.provider, method, None))]:
        raise Failed(f"It has no {missing[0]}().")


async def _schemes(subject: Subject) -> None:
    schemes: Any = subject.provider.schemes
    if not isinstance(schemes, frozenset) or not frozenset() < schemes <= LINK_SCHEMES:
        raise Failed("Its schemes are no frozenset of `http`, `https` and `file`.")


async def _timing(subject: Subject) -> None:
    timing: Any = subject.provider.timing
    if timing is None:
        return
    if not isinstance(timing, ProviderTiming):
        raise Failed("Its timing is neither None nor a ProviderTiming.")
    for field in timing.__struct_fields__:
        seconds = getattr(timing, field)
        if not (isinstance(seconds, int | float) and math.isfinite(seconds) and seconds >= 0):
            raise Failed(f"Its timing has no seconds in {field}.")


async def _estimates(subject: Subject) -> None:
    provider = subject.provider
    searches = [
        SearchRequest(query=subject.query),
        SearchRequest(query=subject.query, search_depth="advanced", max_results=20, include_raw_content=True),
    ]
    extracts = [
        ExtractRequest(urls=("https://example.com/",)),
        ExtractRequest(urls=tuple(f"https://example.com/{n}" for n in range(20)), extract_depth="advanced"),
    ]
    costs = [provider.search_estimate(request) for request in searches]
    costs += [provider.extract_estimate(request) for request in extracts]
    for fault in map(cost_fault, costs):
        if fault:
            raise Failed(f"An estimate is none: {fault}.")
    if provider.search_estimate(searches[0]) != costs[0]:
        raise Failed("Two estimates of one request differ.")


CHECKS = (
    Check(
        name="name",
        rule="It has the name it was registered under.",
        advice="Keep the name that `make` is given.",
        look=_name,
    ),
    Check(
        name="operations",
        rule="It says what it offers, and has every method.",
        advice="Set `operations` to frozenset({'search'}); derive from orchestrator.plugin.SearchProvider.",
        look=_operations,
    ),
    Check(
        name="schemes",
        rule="It says which schemes its URLs may have.",
        advice="Set `schemes` to WEB_SCHEMES, or to frozenset({'file'}) if it finds files.",
        look=_schemes,
    ),
    Check(
        name="timing",
        rule="Its own times are seconds, or None.",
        advice="Set `timing` to None or to a ProviderTiming.",
        look=_timing,
    ),
    Check(
        name="estimates",
        rule="It prices every request in advance, the same one the same way.",
        advice="Return FREE, or a Cost with the most the call can cost; ask nobody for it.",
        look=_estimates,
    ),
)
