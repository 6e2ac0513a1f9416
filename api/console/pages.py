"""Pages from templates: everything is escaped, an unknown name is an error, and nothing from elsewhere runs.

Jinja is loaded when somebody asks for the first page, because a worker that nobody asks needs none of it in
memory: in a thread, because it takes some tenths of a second.
"""

from __future__ import annotations

import asyncio
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from api import __version__
from api.console.assets import address
from api.rest.plain_routes import careful_headers

if TYPE_CHECKING:
    from jinja2 import Environment

    from api.rest.problems import Problem

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The content security policy of every page: our own files, nothing in the page itself, nothing of others."""


_maker = ThreadPoolExecutor(1)
"""Where all who ask for the first page wait for one environment. If they waited in the threads of the event
loop, no name of a provider could be resolved meanwhile."""


async def page(
    template: str, *, status: int = 200, problem: Problem | None = None, **values: Any
) -> Response:
    """The answer made of a template and what it shows, kept by nobody.

    A `problem` is shown too; its status and headers are those of the answer.
    """
    environment = await _environment()
    body = environment.get_template(template).render(values, problem=problem)
    demanded = () if problem is None else problem.headers
    headers = {
        **careful_headers(),
        **{name.decode(): value.decode() for name, value in demanded},
        "content-security-policy": POLICY,
        # Not `no-referrer`: with that a browser says `Origin: null` of our own page's requests (Fetch, 3.2).
        "referrer-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
    }
    return Response(body, status if problem is None else problem.status, headers, media_type="text/html")


async def _environment() -> Environment:
    if _made.cache_info().currsize:
        return _made()
    return await asyncio.get_running_loop().run_in_executor(_maker, _made)


@functools.cache
def _made() -> Environment:
    from api.console.environment import compiled, environment  # noqa: PLC0415

    made = environment(compiled())
    made.globals.update(asset=address, version=__version__)
    return made
