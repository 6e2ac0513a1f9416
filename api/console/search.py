"""`/`: a search, its answer, and why this answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from api.console.visits import Console, Visit


def routes(console: Console) -> list[Route]:
    """The routes of this file."""

    async def search(_request: Request, visit: Visit) -> Response:
        return await visit.page("search.html")

    return [console.route("/", search, "search")]
