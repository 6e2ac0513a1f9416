"""`/usage`: what the caller has used this month, in the shape and the credits of Tavily.

A credit is what Tavily's price list asks for one. What other providers cost is counted by its price, so that
all of it can be held against the client's budget, which is money.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.routing import Route

from api.openapi.operation import Answer, Operation
from api.rest.limit_headers import limit_headers
from api.rest.plain_routes import json_response
from api.rest.visitor import visitor_of
from orchestrator.errors import EventLogUnavailable, RateLimited
from orchestrator.events import MILLION
from orchestrator.providers.tavily_wire import USD_MICROS_PER_CREDIT

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from orchestrator.gateway import Gateway
    from orchestrator.usage import ClientUsage

TAG = "Budget"

_OPERATIONS = ("search", "extract", "crawl", "map", "research")

PLAN = "AMOS"
"""The plan of everybody: the account is one at this gateway."""


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """Credits that were used since the first of the month (UTC), by what they were used for."""

    search_usage: int
    extract_usage: int
    crawl_usage: int
    map_usage: int
    research_usage: int


class KeyUsage(Spent, frozen=True, kw_only=True):
    """What the client has used, through any of its keys, and its budget of a month; null without one."""

    usage: int
    limit: int | None


class AccountUsage(Spent, frozen=True, kw_only=True):
    """The same: the account is the client. Nobody pays beyond the budget."""

    current_plan: str = PLAN
    plan_usage: int
    plan_limit: int | None
    paygo_usage: int = 0
    paygo_limit: int | None = None


class AmosUsage(msgspec.Struct, frozen=True, kw_only=True):
    """The same in dollars, for whom, since when, and when the record was read."""

    client: str
    since: str
    read_at: str
    spent_usd: float
    limit_usd_per_day: float | None
    limit_usd_per_month: float | None


class UsageAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a client has used this month, in Tavily's shape and credits."""

    key: KeyUsage
    account: AccountUsage
    amos: AmosUsage


OPERATIONS = (
    Operation(
        method="GET",
        path="/usage",
        id="usage",
        tag=TAG,
        summary="What you have used this month",
        description="In Tavily's shape: credits of your client, through any of its keys, by their price also "
        "where another provider was paid. Read every 15 seconds at most.",
        answers=(
            Answer(
                UsageAnswer,
                "What was used, and what may be.",
                headers=("RateLimit", "RateLimit-Policy", "Cache-Control"),
            ),
        ),
        errors=(RateLimited, EventLogUnavailable),
    ),
)


def routes(gateway: Gateway) -> list[Route]:
    """The routes of this file; none in a gateway that has no record to add up."""
    if gateway.usage is None:
        return []

    async def usage(request: Request) -> Response:
        caller = visitor_of(request.scope).caller(method="GET", target="/usage", dialect="tavily")
        found, trail = await gateway.usage_for(caller)
        response = json_response(shown(found))
        for name, value in limit_headers(trail):
            response.headers[name.decode()] = value.decode()
        return response

    return [Route("/usage", usage)]


def shown(used: ClientUsage) -> UsageAnswer:
    """The body. The account is the client: all its keys share it, and the figures of a key are those."""
    spent: dict[str, Any] = {f"{one}_usage": _credits(used.usd_micros.get(one, 0)) for one in _OPERATIONS}
    total = sum(used.usd_micros.values())
    limit = None if used.limit_per_month is None else used.limit_per_month // USD_MICROS_PER_CREDIT
    return UsageAnswer(
        key=KeyUsage(usage=_credits(total), limit=limit, **spent),
        account=AccountUsage(plan_usage=_credits(total), plan_limit=limit, **spent),
        amos=AmosUsage(
            client=used.client,
            since=_moment(used.since),
            read_at=_moment(used.read_at),
            spent_usd=total / MILLION,
            limit_usd_per_day=_usd(used.limit_per_day),
            limit_usd_per_month=_usd(used.limit_per_month),
        ),
    )


def _credits(usd_micros: int) -> int:
    return round(usd_micros / USD_MICROS_PER_CREDIT)


def _usd(usd_micros: int | None) -> float | None:
    return None if usd_micros is None else usd_micros / MILLION


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
