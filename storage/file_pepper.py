"""The pepper of one machine: a file beside the database, made once, for its owner alone.

Whoever copies the database without this file has hashes and nothing to try keys with.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from storage.folders import make_private

NAME = "key_pepper"
"""The file's name in the data folder."""

BYTES = 32
"""The length of the hash, beyond which HMAC-SHA-256 gains nothing (RFC 2104, 3)."""


class NoPepper(ValueError):
    """There is a file, and what it holds is no pepper: another would make every key unknown."""


def has_pepper(folder: Path) -> bool:
    """Whether the data folder has a pepper. Raises OSError."""
    return (folder / NAME).exists()


def read_pepper(folder: Path) -> bytes:
    """The pepper of the data folder, made now if it has none; of several who make one at once one wins.

    Raises OSError, NoPepper.
    """
    make_private(folder)
    path = folder / NAME
    if not path.exists():
        _make(path)
    text = path.read_bytes().strip()
    if len(text) < BYTES:
        raise NoPepper(
            f"{path} is damaged: restore it from a backup, or delete it, revoke all keys and make new ones."
        )
    return text


def _make(path: Path) -> None:
    # Whole and on the disk before it has its name: nobody ever reads half of it.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{NAME}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(BYTES).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()
