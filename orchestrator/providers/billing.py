"""What an upstream says it billed, read with suspicion: the figure goes into sums that last for ever."""

from __future__ import annotations

from typing import Any


def billed_amount(value: Any, most: float) -> float | None:
    """The amount, if it is a number from 0 to `most`; `None` means "not told", so the price list applies.

    That is also what a negative, infinite or absurd number means, and NaN, and anything that is no number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Compared before any arithmetic: an integer of JSON may be too large for a float, and NaN fits nowhere.
    return value if 0 <= value <= most else None
