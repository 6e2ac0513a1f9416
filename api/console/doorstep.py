"""What a person sees who follows a link to the console from another site: the address, to be opened by hand.

The guard turns such requests away, because a link can spend money, and the browser keeps the session's cookie
back. One click within a page of ours is no request of another site any more; until then nothing is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.console.pages import page

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Scope

    from api.rest.problems import Problem


async def doorstep(scope: Scope, problem: Problem) -> Response | None:
    """The page in place of the problem; `None` unless somebody opens a page of the console in a browser."""
    headers = dict(scope["headers"])
    path = scope["path"]
    is_visit = (
        problem.code == "foreign_site"
        and scope["method"] == "GET"
        and headers.get(b"sec-fetch-mode") == b"navigate"
        and headers.get(b"sec-fetch-dest") == b"document"
        and (path == "/" or f"{path}/".startswith("/console/"))
    )
    if not is_visit:
        return None
    query = scope["query_string"].decode("latin-1")
    to = path + (f"?{query}" if query else "")
    return await page("doorstep.html", problem=problem, visit=None, to=to)
