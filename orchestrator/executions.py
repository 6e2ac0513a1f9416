"""Search over past executions: what may be asked, and what is found.

An execution is found by its last word. One that never had any (it is under way, its process died, or warming
began it) is shown by its id only.
"""

from __future__ import annotations

import msgspec

LIMIT_DEFAULT = 50
"""chosen: what fits on two screens."""

LIMIT_MAX = 200
"""chosen: a page that is made in some milliseconds; who wants all exports them."""


class ExecutionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which executions are wanted: those recorded in a window of epoch seconds that fit all the rest.

    `""` is any; of `client` that is `None`, and `""` is a caller nobody knew. `text` is what the kept text of
    the search, or of a page of an extract, contains, whatever its case, blanks and Unicode form. `before` is
    the cursor of another page, which this one follows.
    """

    since: float
    until: float
    client: str | None = None
    operation: str = ""
    door: str = ""
    provider: str = ""
    cache: str = ""
    outcome: str = ""
    error: str = ""
    text: str = ""
    duration_s_min: float = 0.0
    before: int | None = None
    limit: int = LIMIT_DEFAULT


class FoundExecution(msgspec.Struct, frozen=True, kw_only=True):
    """One execution. `position` is its place in the log; `text` is `None` where no text is kept."""

    position: int
    execution_id: str
    recorded_at: float
    operation: str
    door: str
    client: str
    topic: str
    provider: str
    cache: str
    outcome: str
    error: str
    duration_s: float
    text: str | None


class FoundExecutions(msgspec.Struct, frozen=True, kw_only=True):
    """A page, the newest first.

    `next` is the cursor of what follows it, `None` if nothing does. It may be there although the page is not
    full: then all the executions recorded since `searched_since` were looked at, and further back was none.
    """

    executions: tuple[FoundExecution, ...] = ()
    next: int | None = None
    searched_since: float
