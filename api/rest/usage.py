"""`/usage`: what the caller has used this month, in the shape and the credits of Tavily.

A credit is what Tavily's price list asks for one. What other providers cost is counted by its price, so that
all of it can be held against the client's budget, which is money.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from api.rest.health import json_response
from api.rest.limit_headers import limit_headers
from api.rest.visitor import visitor_of
from orchestrator.events import MILLION
from orchestrator.providers.tavily_wire import USD_MICROS_PER_CREDIT

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from orchestrator.gateway import Gateway
    from orchestrator.usage import ClientUsage

_OPERATIONS = ("search", "extract", "crawl", "map", "research")

PLAN = "AMOS"
"""The plan of everybody: the account is one at this gateway."""


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


def shown(used: ClientUsage) -> dict[str, Any]:
    """The body. The account is the client: all its keys share it, and the figures of a key are those."""
    spent = {f"{one}_usage": _credits(used.usd_micros.get(one, 0)) for one in _OPERATIONS}
    total = sum(used.usd_micros.values())
    limit = None if used.limit_per_month is None else used.limit_per_month // USD_MICROS_PER_CREDIT
    return {
        "key": {"usage": _credits(total), "limit": limit, **spent},
        "account": {
            "current_plan": PLAN,
            "plan_usage": _credits(total),
            "plan_limit": limit,
            "paygo_usage": 0,
            "paygo_limit": None,
            **spent,
        },
        "amos": {
            "client": used.client,
            "since": _moment(used.since),
            "read_at": _moment(used.read_at),
            "spent_usd": total / MILLION,
            "limit_usd_per_day": _usd(used.limit_per_day),
            "limit_usd_per_month": _usd(used.limit_per_month),
        },
    }


def _credits(usd_micros: int) -> int:
    return round(usd_micros / USD_MICROS_PER_CREDIT)


def _usd(usd_micros: int | None) -> float | None:
    return None if usd_micros is None else usd_micros / MILLION


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
