"""Events as a person reads them."""

from __future__ import annotations

from rich.console import Console

from api.cli.events_view import event_line


def test_a_key_without_an_end_does_not_end_in_1970():
    """`expires_at` 0 is never, not the first second of Unix time."""
    console = Console(width=300, color_system=None)
    event = {"type": "amos.key.created.v1", "key_id": "abc", "expires_at": 0.0, "by": "local"}

    with console.capture() as shown:
        console.print(event_line(1_795_630_266.9, "keys", event))

    assert "expires=never" in shown.get()
