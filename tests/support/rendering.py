"""What a renderable looks like: on a terminal with its escape sequences, or in a pipe without."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from rich.console import RenderableType


def rendered(renderable: RenderableType, *, is_terminal: bool = False, width: int = 120) -> str:
    """The text a console of that kind would print."""
    console = Console(
        file=io.StringIO(),
        force_terminal=is_terminal,
        color_system="standard" if is_terminal else None,
        width=width,
        markup=False,
        emoji=False,
        highlight=False,
        _environ={},
    )
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
