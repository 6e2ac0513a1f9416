"""Counts the statuses of all answers that a fuzzer was given, and leaves the counts in a file at its end."""

from __future__ import annotations

import atexit
import json
import os
from collections import Counter
from pathlib import Path

STATUSES_FILE = "FUZZ_STATUSES_FILE"
"""The variable that names the file."""

NO_FAULT = 501


def is_no_fault(body: str) -> bool:
    """Whether this is the 501 for feedback about AMOS's own answers, which is what was promised."""
    return '"code":"not_offered"' in body and "AMOS passes no feedback on" in body


_counts: Counter[int] = Counter()


def count(status: int) -> None:
    """One more answer."""
    _counts[status] += 1


def write_at_end() -> None:
    """Have the counts written when the process ends."""
    path = Path(os.environ[STATUSES_FILE])
    atexit.register(lambda: path.write_text(json.dumps(dict(sorted(_counts.items())))))
