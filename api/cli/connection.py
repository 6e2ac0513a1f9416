"""A gateway to ask, wherever it runs: in this process, or behind `--url` on a server.

Both ways speak Tavily's format as the server does, so that a command has one shape of answer to show and
`--json` prints the same from either.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Connection(Protocol):
    """What the commands ask. Every method raises GatewayError or CommandError."""

    async def search(self, body: dict[str, Any], *, no_cache: bool) -> bytes:
        """The JSON answer to a search given as a Tavily request body."""

    async def extract(self, body: dict[str, Any]) -> bytes:
        """The JSON answer to an extract given as a Tavily request body."""

    async def report(self, name: str, parameters: dict[str, str]) -> bytes:
        """The JSON report `name` with the parameters `since`, `until`, `by`; absent ones have defaults."""

    async def execution(self, execution_id: str) -> bytes:
        """The JSON account of one execution. Raises NotFound."""


@asynccontextmanager
async def connect(url: str | None) -> AsyncIterator[Connection]:
    """Open the way to the server at `url`, or with `None` a gateway in this process on the data folder."""
    if url is None:
        from api.cli.in_process import open_gateway  # noqa: PLC0415

        async with open_gateway() as gateway:
            yield gateway
    else:
        from api.cli.over_http import open_client  # noqa: PLC0415

        async with open_client(url) as client:
            yield client
