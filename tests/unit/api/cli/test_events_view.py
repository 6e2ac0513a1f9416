"""Events as a person reads them."""

from __future__ import annotations

import pytest
from rich.console import Console

from api.cli.events_view import event_line


def test_a_key_without_an_end_does_not_end_in_1970():
    """`expires_at` 0 is never, not the first second of Unix time."""
    console = Console(width=300, color_system=None)
    event = {"type": "amos.key.created.v1", "key_id": "abc", "expires_at": 0.0, "by": "local"}

    with console.capture() as shown:
        console.print(event_line(1_795_630_266.9, "keys", event))

    assert "expires=never" in shown.get()


@pytest.mark.parametrize(
    ("account", "shown"),
    [
        ("provider:tavily", "percent=75 spent=6 limit=8"),
        ("client:team-search", "percent=75 spent=$6 limit=$8"),
        ("all", "percent=75 spent=$6 limit=$8"),
    ],
)
def test_a_budget_is_told_in_its_own_unit(account, shown):
    """Nobody counts in millionths: dollars are dollars, and credits and tokens are whole ones."""
    console = Console(width=300, color_system=None)
    sums = {"percent": 75, "spent": 6_000_000, "limit": 8_000_000}
    event = {"type": "amos.budget.warned.v1", "account": account, "period": "2026-11", **sums}

    with console.capture() as line:
        console.print(event_line(1_795_630_266.9, f"budget:{account}", event))

    assert shown in line.get()
