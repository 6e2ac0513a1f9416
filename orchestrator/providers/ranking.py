"""Scores as the model wants them, of scores as upstreams give them, if they do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard


def falling_scores(given: Sequence[object]) -> list[float]:
    """A score for each result, best first: 0..1, and none above the one before it.

    The upstream's own are kept if each result has one within 0..1; a scale that nobody knows says no more
    than the order does, so then the rank serves: 1.0 for the first, falling, never 0.
    """
    # Compared before any arithmetic: an integer of JSON may be too large for a float, and NaN fits nowhere.
    scores = [float(one) for one in given if is_number(one) and 0 <= one <= 1]
    if len(scores) < len(given):
        return [round(1 / (1 + rank / 10), 4) for rank in range(len(given))]
    falling: list[float] = []
    for one in scores:
        falling.append(min(one, falling[-1]) if falling else one)
    return falling


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a number of JSON; `true` is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
