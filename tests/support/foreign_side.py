"""The half of tests/support/foreign.py that runs beside a client, in whatever environment that has.

Nothing but the standard library is imported: AMOS is not installed there.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any


def answer_calls(calls: Mapping[str, Callable[..., Any]]) -> None:
    """Answer until the input ends: each line names one of the calls and its arguments.

    Coroutines run in one loop, as in a program; other functions outside of any.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    answers.write("\n")
    answers.flush()
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            asked = json.loads(line)
            try:
                value = calls[asked["call"]](**asked["arguments"])
                answer = {"value": runner.run(value) if inspect.iscoroutine(value) else value}
            except Exception as error:  # noqa: BLE001 (whatever the client raises is its answer)
                answer = {"error": _plain(error)}
            answers.write(f"{json.dumps(answer, default=_plain)}\n")
            answers.flush()


def _plain(value: Any) -> Any:
    """What JSON has no word for: an exception, returned or raised, or a model of pydantic."""
    if isinstance(value, BaseException):
        return {"type": type(value).__name__, "message": str(value)}
    return value.model_dump(mode="json")
