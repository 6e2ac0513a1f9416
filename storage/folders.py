"""Folders of the data directory: closed to all but their owner, and tried before they are needed."""

from __future__ import annotations

import tempfile
from pathlib import Path

PRIVATE = 0o700


def make_private(folder: Path) -> None:
    """Make the folder and whatever is missing above it, for its owner alone; what exists keeps its mode.

    Path.mkdir would give its mode to the last folder only. Raises OSError.
    """
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_private(folder.parent)
    folder.mkdir(mode=PRIVATE, exist_ok=True)


def require_writable(folder: Path) -> None:
    """Make the folder if need be, and see that files can be made in it. Raises OSError."""
    make_private(folder)
    with tempfile.TemporaryFile(dir=folder):
        pass
