"""What an upstream says it billed is believed only if it can be true."""

from __future__ import annotations

import pytest

from orchestrator.providers.billing import billed_amount


@pytest.mark.parametrize("told", [0, 1, 0.4, 100])
def test_a_sensible_amount_is_taken(told):
    """Zero is an amount, and so is the largest one allowed."""
    assert billed_amount(told, 100) == told


@pytest.mark.parametrize(
    "told", [-1, 101, 1e20, 10**400, float("nan"), float("inf"), float("-inf"), True, "1", None, [], {}]
)
def test_anything_else_was_not_told(told):
    """Negative, absurd and infinite numbers, and what is no number, leave the price to the price list."""
    assert billed_amount(told, 100) is None
