"""How a line looks: JSON with the names of the Elastic Common Schema (ECS), or text for people.

Lines of the standard `logging`, ours and those of libraries, go through one chain of structlog's, which keeps
what is named here and nothing else; lines that are made of the record (`Line`) are written straight, because
there are thousands of them a second. Every line is at most as long as a pipe takes at once.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from select import PIPE_BUF
from typing import Any, Protocol

import msgspec
from ecs_logging import StructlogFormatter
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, WrappedLogger
from typing_extensions import override

from api import __version__
from api.logs.clean import cut, harmless, message_of, printable, stack_of
from orchestrator.projections.log_lines import Line

ECS_VERSION = "9.4.0"
"""The version of the schema whose names these are (elastic/ecs, 9.4)."""

LINE_BYTES_MAX = PIPE_BUF
"""POSIX, write(): what several processes write to one pipe is not mixed up to this length (4096 on Linux)."""

CUTS = ((1_500, 40), (600, 12), (150, 0))
"""chosen: characters of the message and lines of the stack that a line has; a shorter pair is taken where
the longer ones do not fit."""

SERVICE = "amos"

_COLOURS = {"WARNING": "33", "ERROR": "31", "CRITICAL": "31"}  # ECMA-48, SGR: yellow and red
_PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}  # sd-daemon(3)

_encode = msgspec.json.Encoder().encode


class Format(Protocol):
    """How lines look at one place; each ends with a line feed."""

    name: str
    """Places whose formats have the same name show the same."""

    def record(self, record: logging.LogRecord) -> bytes:
        """A line of the standard `logging`."""

    def line(self, line: Line) -> bytes:
        """A line that is made of the record."""


class EcsFormat:
    """One JSON object a line. `node` names the process."""

    name = "ecs"

    def __init__(self, node: str) -> None:
        self._service = _service(node)
        self._formatters = _formatters(self._as_ecs, _EcsRenderer())

    def record(self, record: logging.LogRecord) -> bytes:
        """A line of the standard `logging`."""
        return _fitting(self._formatters, record)

    def line(self, line: Line) -> bytes:
        """A line that is made of the record."""
        told = {
            "@timestamp": moment(line.at),
            "log.level": line.level,
            "message": line.message,
            "ecs.version": ECS_VERSION,
            "log": {"logger": line.logger},
            "service": _service(line.node),
            **line.fields,
        }
        return _encode(told) + b"\n"

    def _as_ecs(self, _: WrappedLogger, __: str, told: EventDict) -> EventDict:
        """The names of ECS for what `_Told` has found."""
        fields: EventDict = {
            "@timestamp": moment(told["at"]),
            "event": told["message"],  # what its formatter makes the message
            "log.level": told["level"].lower(),
            "log.logger": told["logger"],
            "process.pid": told["pid"],
            **{f"service.{name}": value for name, value in self._service.items()},
        }
        fields.update({f"error.{name}": value for name, value in told["error"].items()})
        if told["stack"]:
            fields["error.stack_trace"] = "\n".join(told["stack"])
        return fields


class TextFormat:
    """A line for people: when, how bad, who, what; the frames of an exception below it, indented.

    For `systemd` the moment is left out, since its journal has it, and each line begins with its priority.
    """

    def __init__(self, *, is_coloured: bool = False, for_systemd: bool = False) -> None:
        self.name = f"text{' in colour' * is_coloured}{' for systemd' * for_systemd}"
        self._is_coloured = is_coloured
        self._for_systemd = for_systemd
        self._formatters = _formatters(self._rendered)

    def record(self, record: logging.LogRecord) -> bytes:
        """A line of the standard `logging`."""
        return _fitting(self._formatters, record)

    def line(self, line: Line) -> bytes:
        """A line that is made of the record, with the id under which it is found there."""
        event_id = line.fields["event"].get("id")
        message = f"{line.message} [{event_id}]" if event_id else line.message
        return _bytes(self._one(line.at, line.level.upper(), line.logger, message))

    def _rendered(self, _: WrappedLogger, __: str, told: EventDict) -> str:
        head = self._one(told["at"], told["level"], f"{told['logger']}[{told['pid']}]", told["message"])
        below = "    " if not self._for_systemd else f"<{_PRIORITIES.get(told['level'], 6)}>    "
        return "\n".join([head, *(f"{below}{line}" for line in told["stack"])])

    def _one(self, at: float, level: str, logger: str, message: str) -> str:
        if self._for_systemd:
            return f"<{_PRIORITIES.get(level, 6)}>{level} {logger} {message}"
        shown = f"{level:<7}"
        if self._is_coloured and level in _COLOURS:
            shown = f"\x1b[{_COLOURS[level]}m{shown}\x1b[0m"
        return f"{_local(int(at))}.{int(at % 1 * 1_000):03d} {shown} {logger} {message}"


class _EcsRenderer(StructlogFormatter):
    """ecs-logging's formatter for structlog, in the present version of the schema."""

    @override
    def format_to_ecs(self, event_dict: dict[str, Any]) -> dict[str, Any]:
        event_dict["ecs.version"] = ECS_VERSION
        return super().format_to_ecs(event_dict)


class _Told:
    """The first of the chain: what a record tells, made harmless and cut; nothing else goes on."""

    def __init__(self, message_chars: int, stack_lines: int) -> None:
        self._message_chars = message_chars
        self._stack_lines = stack_lines

    def __call__(self, _: WrappedLogger, __: str, event_dict: EventDict) -> EventDict:
        """The processor."""
        record: logging.LogRecord = event_dict["_record"]
        raised = event_dict.get("exc_info")
        error = raised[1] if isinstance(raised, tuple) else None
        return {
            "at": record.created,
            "level": record.levelname,
            "logger": printable(record.name)[:100],
            "pid": record.process,
            "message": self._cut(harmless(str(event_dict["event"]))),
            "error": self._error(error),
            "stack": stack_of(error)[-self._stack_lines :] if error and self._stack_lines else [],
            "_record": record,
            "_from_structlog": False,
        }

    def _error(self, error: BaseException | None) -> Mapping[str, str]:
        if error is None:
            return {}
        told = {"type": type(error).__qualname__, "message": self._cut(message_of(error))}
        return {name: value for name, value in told.items() if value}

    def _cut(self, text: str) -> str:
        return cut(text, self._message_chars)


def moment(at: float) -> str:
    """A moment as RFC 3339 has it, in UTC, to the millisecond. Raises ValueError, OverflowError."""
    return f"{datetime.fromtimestamp(at, UTC).isoformat(timespec='milliseconds')[:-6]}Z"


def _service(node: str) -> dict[str, Any]:
    return {"name": SERVICE, "version": __version__, "node": {"name": node}}


def _formatters(*processors: Any) -> list[ProcessorFormatter]:
    """The chain once for each of the lengths of `CUTS`, the longest first."""
    last = processors[-1:]
    before = processors[:-1]
    return [
        ProcessorFormatter(
            processors=[_Told(*cut), ProcessorFormatter.remove_processors_meta, *before, *last]
        )
        for cut in CUTS
    ]


def _fitting(formatters: list[ProcessorFormatter], record: logging.LogRecord) -> bytes:
    """The record by the first of the formatters whose line is short enough; the last one's is."""
    line = b""
    for formatter in formatters:
        line = _bytes(formatter.format(record))
        if len(line) <= LINE_BYTES_MAX:
            break
    return line


def _bytes(line: str) -> bytes:
    return line.encode("utf-8", "backslashreplace") + b"\n"


@functools.lru_cache(maxsize=8)
def _local(second: int) -> str:
    """The second in the time zone of this machine."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
