"""Scores fall from hit to hit, whatever the upstream gives."""

from __future__ import annotations

import math

import pytest

from orchestrator.providers.ranking import falling_scores

RANKS = [1.0, 0.9091, 0.8333]


@pytest.mark.parametrize(
    ("given", "scores"),
    [
        ([0.9, 0.5, 0.1], [0.9, 0.5, 0.1]),
        ([0.5, 0.9, 0.1], [0.5, 0.5, 0.1]),
        ([1, 1, 0], [1.0, 1.0, 0.0]),
        ([12.5, 3.0, 1.0], RANKS),
        ([0.9, None, 0.1], RANKS),
        ([0.9, "0.5", 0.1], RANKS),
        ([True, False, True], RANKS),
        ([-0.1, 0.5, 0.1], RANKS),
        ([math.nan, 0.5, 0.1], RANKS),
        ([math.inf, 0.5, 0.1], RANKS),
        ([], []),
    ],
)
def test_scores_fall(given, scores):
    """Their own are kept if they are within 0..1, held to the order of the results; else the rank serves."""
    assert falling_scores(given) == scores
