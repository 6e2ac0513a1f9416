"""Pages from templates: everything is escaped, an unknown name is an error, and nothing from elsewhere runs.

Jinja is loaded, and the templates compiled, when somebody asks for the first page: in a thread, because it
takes some hundredths of a second, and because a worker that nobody asks needs none of it in memory.
"""

from __future__ import annotations

import asyncio
import functools
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from api import __version__
from api.console.assets import address
from api.quantities import amount, dollars, number, ratio, seconds
from api.rest.plain_routes import careful_headers
from orchestrator.events import FREE

if TYPE_CHECKING:
    from jinja2 import Environment

    from orchestrator.events import Cost

FOLDER = Path(__file__).parent / "templates"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The content security policy of every page: our own files, nothing in the page itself, nothing of others."""


async def page(template: str, *, status: int = 200, **values: Any) -> Response:
    """The answer made of a template and what it shows, kept by nobody."""
    environment = await _environment()
    body = environment.get_template(template).render(values)
    headers = {
        **careful_headers(),
        "content-security-policy": POLICY,
        # Not `no-referrer`: with that a browser says `Origin: null` of our own page's requests (Fetch, 3.2).
        "referrer-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
    }
    return Response(body, status, headers, media_type="text/html")


async def _environment() -> Environment:
    if _made.cache_info().currsize:
        return _made()
    return await asyncio.to_thread(_made)


@functools.cache
def _made() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(asset=address, version=__version__)
    environment.filters.update(
        moment=moment,
        seconds=seconds,
        number=number,
        ratio=ratio,
        dollars=dollars,
        amount=amount,
        cost=cost,
    )
    for name in environment.list_templates(("html",)):
        environment.get_template(name)
    return environment


def cost(spent: Cost) -> str:
    """What a call cost, in the provider's unit and in money."""
    if spent == FREE:
        return "nothing"
    money = dollars(spent.usd_micros)
    return f"{amount(spent.amount, spent.unit)} ({money})" if spent.amount and spent.unit else money


def moment(at: float) -> str:
    """A moment for `<time datetime>`, which the page's script shows in the zone of its reader."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
