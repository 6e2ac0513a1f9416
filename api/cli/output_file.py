"""A file that is there when all of it is written, and not before: what was there stays until then.

It is written beside its place, under a name of its own, and takes its place in one step. A device or a pipe
has no place to take: it is written as it comes.
"""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from api.cli.failure import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def whole_file(path: Path) -> Iterator[Callable[[bytes], None]]:
    """What is written goes into the file, if the context ends without an error. Raises CommandError.

    Only its owner may read a new file.
    """
    target = Path(os.path.realpath(path))  # a link goes on pointing there; one in a circle raises nothing
    with _explaining(path):
        mode = target.stat().st_mode if target.exists() else None
    if mode is not None and not stat.S_ISREG(mode):
        with _explaining(path), target.open("wb", buffering=0) as device:
            yield _writer(path, device)
        return
    with _explaining(path):
        part = tempfile.NamedTemporaryFile(  # noqa: SIM115 - closed below, and its end is not always the same
            dir=target.parent, prefix=".amos-", suffix=".part", delete=False
        )
    try:
        with part:
            yield _writer(path, part)
            with _explaining(path):
                part.flush()
                os.fsync(part.fileno())
        with _explaining(path):
            if mode is not None:
                Path(part.name).chmod(stat.S_IMODE(mode))
            Path(part.name).replace(target)
    except BaseException:  # Ctrl-C above all
        with suppress(OSError):
            Path(part.name).unlink()
        raise


def _writer(path: Path, file: IO[bytes]) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        with _explaining(path):
            file.write(data)

    return write


@contextmanager
def _explaining(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}.", "Nothing was written there.") from error
