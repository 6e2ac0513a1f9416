"""What goes to the log: the gateway's own health, on standard error. Calls are events, never log lines."""

from __future__ import annotations

import logging
import sys

FORMAT = "%(asctime)s %(levelname)s %(name)s[%(process)d] %(message)s"


def configure_logging(level: str) -> None:
    """Send our loggers at `level` and everybody else's warnings to standard error."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format=FORMAT)
    logging.getLogger("amos").setLevel(level.upper())
    # The SDK of MCP warns of what clients send wrong; strangers would fill the log with that.
    logging.getLogger("mcp").setLevel(logging.ERROR)
