"""Tavily's official client in both of its kinds, told nothing but another base URL.

async with clients(tavily.AsyncTavilyClient, amos.base_url) as make_client:
    answer = await make_client("/prefix").call("search", "tide tables")
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import requests
import tavily as tavily_python

KINDS = (tavily_python.TavilyClient, tavily_python.AsyncTavilyClient)

IDS = ("sync", "async")

HTTP_ERRORS = (requests.exceptions.HTTPError, httpx.HTTPStatusError)
"""What the clients raise for a status they have no error of their own for: it tells the status alone."""


class Client:
    """A client under test; its methods are awaited whether it is sync, in a thread, or async."""

    def __init__(self, real: tavily_python.TavilyClient | tavily_python.AsyncTavilyClient) -> None:
        self.real = real

    async def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """The result of a method of the real client."""
        function = getattr(self.real, method)
        if inspect.iscoroutinefunction(function):
            return await function(*arguments, **options)
        return await asyncio.to_thread(function, *arguments, **options)

    async def close(self) -> None:
        """Release its connections."""
        closed = self.real.close()
        if inspect.isawaitable(closed):
            await closed


MakeClient = Callable[..., Client]


@contextlib.asynccontextmanager
async def clients(kind: Callable[..., Any], base_url: str) -> AsyncIterator[MakeClient]:
    """Makes clients of a kind, pointed at the base URL, and closes them in the end."""
    made: list[Client] = []

    def make(path: str = "", **options: Any) -> Client:
        given = {"api_key": "tvly-mine", "api_base_url": base_url + path, **options}
        made.append(Client(kind(**given)))
        return made[-1]

    yield make
    for client in made:
        await client.close()
