"""What the doctor makes of the last hour's report."""

from __future__ import annotations

import pytest

from api.cli.doctor_lately import check_lately

QUIET = {"requests": {"total": 0, "failed": 0, "callers_own": 0}, "availability": None, "providers": []}
"""A report of an hour without calls."""


@pytest.mark.parametrize(
    ("refused", "says", "helps"),
    [
        ({"no_credential": 1}, "1 call of", "Whoever opens the console and has not logged in yet"),
        ({"no_credential": 2, "expired_key": 5}, "7 calls of", "amos keys rotate ID"),
        ({"missing_scope": 3}, "3 calls of", "amos report health --since 1h"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_who_was_turned_away_is_told_with_what_helps(refused, says, helps):
    """Callers turned away are a warning, with what helps against the most frequent reason."""
    calls, callers = check_lately({**QUIET, "refused": refused})

    assert calls.status == "ok"
    assert (callers.name, callers.status) == ("callers", "warning")
    assert says in callers.detail
    assert helps in callers.next_step


def test_an_hour_of_nobody_is_no_fault():
    """Without calls and refusals nothing is found."""
    (calls,) = check_lately({**QUIET, "refused": {}})

    assert (calls.status, calls.detail) == ("ok", "0, none lost")
