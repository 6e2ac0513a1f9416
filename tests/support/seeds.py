"""Seeds of the chaos tests. A seed is part of its test's name, so `-k seed3` repeats its draws."""

from __future__ import annotations

import pytest

SEEDS = [
    pytest.param(seed, id=f"seed{seed}", marks=[] if seed == 1 else pytest.mark.slow) for seed in (1, 2, 3)
]
"""The first for every run of the suite; the others, which no fault needs, for `./amos chaos`."""

MORE_SEEDS = [pytest.param(seed, id=f"seed{seed}", marks=pytest.mark.slow) for seed in range(101, 111)]
"""For `./amos chaos`."""
