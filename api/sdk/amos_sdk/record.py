"""What the server has recorded, as frozen values: executions, reports and what was used.

As in amos_sdk.models, `raw` is the decoded JSON as it came. Moments are aware and in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amos_sdk.models import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One fact of an execution: `type` such as `amos.cache.hit.v1`, and its own `fields` (docs/events.md)."""

    seq: int
    at: datetime
    type: str
    fields: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One call as the record has it.

    `status` is `answered`, `failed` or `unsettled` (under way, or its process died). `duration_s` is the stay
    in seconds, `gateway_s` what of it was not a wait for providers; both, and `started_at`, are `None` while
    that is not recorded. `why` is the story in sentences, `events` the facts, both in order.
    """

    execution_id: str
    status: str
    operation: str
    client: str
    provider: str
    cache: str
    started_at: datetime | None
    duration_s: float | None
    gateway_s: float | None
    why: tuple[str, ...]
    events: tuple[Event, ...]
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One call among others, found by its last word; `Client.execution` tells all about it.

    `outcome` is `answered` or `failed`, `error` the code of a failure. `text` is what was asked, or a page of
    an extract; `None` where no text is kept. `duration_s` is the stay in seconds.
    """

    execution_id: str
    recorded_at: datetime
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Executions:
    """A page of them, newest first. `next` is the `before` of what follows, `None` if nothing does.

    All that were recorded since `searched_since` were looked at for it.
    """

    executions: tuple[Execution, ...]
    next: int | None
    searched_since: datetime
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report over a window of time, from `since` to before `until`.

    `by` is how it is grouped, `""` for no groups; `rows` has one for each group, or for each line of a table
    such as `providers`. What stands for the whole window is in `figures`, under the names that
    docs/reports.md explains.
    """

    since: datetime
    until: datetime
    tz: str
    by: str
    rows: tuple[Json, ...]
    figures: Json
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a client has used since the first of the month (UTC), through any of its keys.

    `credits` and `credits_limit` are in Tavily's credits, `limit` `None` without one. `by_operation` is
    `credits` by what they were used for: `search`, `extract`, `crawl`, `map`, `research`.
    """

    client: str
    credits: int
    credits_limit: int | None
    by_operation: dict[str, int]
    spent_usd: float
    limit_usd_per_day: float | None
    limit_usd_per_month: float | None
    raw: Json = field(repr=False)


_WINDOW = {"since", "until", "tz", "by", "rows"}


def account(body: Json) -> Account:
    """The value of an execution's JSON. Raises KeyError, TypeError, ValueError for what is none."""
    told = body["explanation"]
    return Account(
        execution_id=body["execution_id"],
        status=told["status"],
        operation=told["operation"],
        client=told["client"],
        provider=told["provider"],
        cache=told["cache"],
        started_at=None if told["started_at"] is None else _moment(told["started_at"]),
        duration_s=told["duration_s"],
        gateway_s=told["gateway_s"],
        why=tuple(told["why"]),
        events=tuple(_event(one) for one in body["events"]),
        raw=body,
    )


def executions(body: Json) -> Executions:
    """The value of a page's JSON. Raises KeyError, TypeError, ValueError for what is none."""
    return Executions(
        executions=tuple(_execution(one) for one in body["executions"]),
        next=body["next"],
        searched_since=_moment(body["searched_since"]),
        raw=body,
    )


def report(body: Json) -> Report:
    """The value of a report's JSON. Raises KeyError, TypeError, ValueError for what is none."""
    return Report(
        since=_moment(body["since"]),
        until=_moment(body["until"]),
        tz=body["tz"],
        by=body["by"],
        rows=tuple(body.get("rows", ())),
        figures={name: value for name, value in body.items() if name not in _WINDOW},
        raw=body,
    )


def usage(body: Json) -> Usage:
    """The value of the JSON of `/usage`. Raises KeyError, TypeError, ValueError for what is none."""
    key, amos = body["key"], body["amos"]
    return Usage(
        client=amos["client"],
        credits=key["usage"],
        credits_limit=key["limit"],
        by_operation={
            name: key[f"{name}_usage"] for name in ("search", "extract", "crawl", "map", "research")
        },
        spent_usd=float(amos["spent_usd"]),
        limit_usd_per_day=amos["limit_usd_per_day"],
        limit_usd_per_month=amos["limit_usd_per_month"],
        raw=body,
    )


def _execution(one: Json) -> Execution:
    told = {name: one[name] for name in Execution.__dataclass_fields__}
    return Execution(**{**told, "recorded_at": _moment(one["recorded_at"])})


def _event(one: Json) -> Event:
    fields: dict[str, Any] = dict(one["event"])
    return Event(seq=one["seq"], at=_moment(one["at"]), type=fields.pop("type"), fields=fields)


def _moment(epoch_s: float) -> datetime:
    return datetime.fromtimestamp(epoch_s, timezone.utc)  # noqa: UP017 - datetime.UTC needs Python 3.11
