"""How an execution is named in a trace: its ids, and the header that carries them (W3C Trace Context).

The span of an execution has the last 16 digits of its id, which are random. So whoever has the record can
derive the span that the answer's header named, and deriving it twice names it twice the same.
"""

from __future__ import annotations

import re

_TRACE_ID = re.compile(r"[0-9a-f]{32}")


def trace_id_of(execution_id: str, callers: str = "") -> str:
    """The trace of an execution, 32 hex digits: its caller's, or the one that it begins itself."""
    return callers if _TRACE_ID.fullmatch(callers) else execution_id.replace("-", "")


def span_id_of(execution_id: str) -> str:
    """The span of the execution itself: 16 hex digits."""
    return execution_id[-17:].replace("-", "")


def traceparent(trace_id: str, span_id: str) -> str:
    """The header, version 00. The flag says `sampled`: whatever is exported, every call is recorded."""
    return f"00-{trace_id}-{span_id}-01"
