"""What property tests share: patience for a busy machine, and an outcome that is a value or a refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings

from orchestrator.errors import GatewayError

patient = settings(suppress_health_check=[HealthCheck.too_slow])
"""Decorates a property test: how long an example takes says something about the machine only."""


def outcome(function: Callable[..., Any], *arguments: Any) -> tuple[Any, GatewayError | None]:
    """What the function returned and `None`, or `None` and the error of ours it raised."""
    try:
        return function(*arguments), None
    except GatewayError as refusal:
        return None, refusal
