"""Scores as the model wants them, of scores as upstreams give them, if they do."""

from __future__ import annotations

import math
from collections.abc import Sequence


def falling_scores(given: Sequence[object]) -> list[float]:
    """A score for each result, best first: 0..1, and none above the one before it.

    The upstream's own are kept if each result has one within 0..1; a scale that nobody knows says no more
    than the order does, so then the rank serves: 1.0 for the first, falling, never 0.
    """
    scores = [float(one) for one in given if isinstance(one, int | float) and not isinstance(one, bool)]
    if len(scores) < len(given) or any(not math.isfinite(one) or not 0 <= one <= 1 for one in scores):
        return [round(1 / (1 + rank / 10), 4) for rank in range(len(given))]
    falling: list[float] = []
    for one in scores:
        falling.append(min(one, falling[-1]) if falling else one)
    return falling
