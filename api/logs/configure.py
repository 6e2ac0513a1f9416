"""Sets up what a process logs: how much, in which format, to standard error and to a file.

Stages record events and never log; what they did is logged from the record (executions.py). Logged directly
is only what has no event: the health of our own processes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from types import TracebackType

from api.logs.formats import EcsFormat, Format, TextFormat
from api.logs.output import OutputHandler
from api.logs.places import Console, SharedFile
from api.settings import Settings, journal_stream, wants_colour
from storage.file_journal import process_name

_log = logging.getLogger("amos")


def configure_logging(settings: Settings) -> None:
    """Send our loggers at the level of the settings, and everybody else's warnings, to their places.

    May be called again; what was set up before is ended.
    """
    _open_standard_streams()
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, OutputHandler)]:
        root.removeHandler(handler)
        handler.close()
    root.addHandler(OutputHandler(Console(), "standard error", _console_format(settings.log_format)))
    if settings.log_file is not None:
        form = TextFormat() if settings.log_format == "text" else EcsFormat(process_name())
        root.addHandler(OutputHandler(SharedFile(settings.log_file), "the log file", form))
    root.setLevel(logging.WARNING)
    logging.getLogger("amos").setLevel(settings.log_level.upper())
    # The SDK of MCP warns of what clients send wrong; strangers would fill the log with that.
    logging.getLogger("mcp").setLevel(logging.ERROR)
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False
    sys.excepthook = _tell
    threading.excepthook = lambda told: _tell(told.exc_type, told.exc_value, told.exc_traceback)


def _open_standard_streams() -> None:
    """Open what of them is closed, to nowhere: else the next file or socket would be standard error."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)  # noqa: FBT003 - it takes nothing by name
    os.close(fd)


def _console_format(wanted: str) -> Format:
    """The format of standard error: text for people at a terminal and in systemd's journal, else JSON."""
    is_journal = _is_journal(journal_stream())
    is_terminal = _is_terminal()
    if wanted == "ecs" or (wanted == "auto" and not (is_terminal or is_journal)):
        return EcsFormat(process_name())
    return TextFormat(is_coloured=is_terminal and wants_colour(), for_systemd=is_journal)


def _is_terminal() -> bool:
    with contextlib.suppress(OSError):
        return os.isatty(2)
    return False


def _is_journal(stream: str) -> bool:
    """Whether standard error is what systemd says it has connected to its journal, `device:inode`."""
    with contextlib.suppress(OSError):
        found = os.fstat(2)
        return stream == f"{found.st_dev}:{found.st_ino}"
    return False


def _tell(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """Log what ends a thread or the process, in the format of all else."""
    if error is not None and not isinstance(error, KeyboardInterrupt):
        _log.critical("a fault that nobody expected ends what was being done", exc_info=(kind, error, trace))
