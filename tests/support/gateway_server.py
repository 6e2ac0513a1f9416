"""The whole gateway on real Hypercorn in the loop of the test, between simulated providers and real clients.

    async with serving(tmp_path, tavily=tavily, jina=jina, deadline_s=2) as amos:
        answer = await amos.search("tide tables")
        await amos.drain()                           # what was answered is in SQL now
        ... amos.events(execution_id), amos.client.get("/health")

Settings are given by their names in `api.settings.Settings`; a provider that is not given is not configured.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
from hypercorn.asyncio import serve as hypercorn_serve

from api import composition
from api.app import create_app
from api.server import hypercorn_config
from api.settings import Settings
from orchestrator.gateway import Gateway
from orchestrator.parts import Policies
from storage.recorder_process import RecorderLoop
from tests.support.database import query
from tests.support.http_server import DeadPort
from tests.support.jina_simulator import JinaSimulator
from tests.support.simulator import Simulator
from tests.support.tavily_simulator import TavilySimulator

CLIENT_TIMEOUT_S = 30.0

GRACE_S = 0.5
"""Connections that a test left open are cut after this, if it says nothing else."""


DRAINED_AGAIN_S = 1.0
"""Far below the 30 s after which figures count as old, and rare enough to leave the loop to the tests."""


class GatewayServer:
    """A running gateway. `client` has its address as base URL and sends nothing but what it is told to."""

    def __init__(
        self,
        gateway: Gateway,
        settings: Settings,
        port: int,
        recorder: RecorderLoop,
        database: Path | str,
    ) -> None:
        self.gateway = gateway
        self.settings = settings
        self.port = port
        self.base_url = f"http://127.0.0.1:{port}"
        self.database = database
        self.client = httpx.AsyncClient(base_url=self.base_url, timeout=CLIENT_TIMEOUT_S, trust_env=False)
        self._recorder = recorder

    async def search(
        self, query: str, headers: dict[str, str] | None = None, **options: Any
    ) -> httpx.Response:
        """`POST /search` with the query and any options."""
        return await self.client.post("/search", json={"query": query, **options}, headers=headers)

    async def extract(
        self, urls: str | list[str], headers: dict[str, str] | None = None, **options: Any
    ) -> httpx.Response:
        """`POST /extract` with the URLs and any options."""
        return await self.client.post("/extract", json={"urls": urls, **options}, headers=headers)

    async def drain(self) -> None:
        """Put everything written so far into SQL, as the recorder does on its own in another process."""
        await self._recorder.drain()

    @contextlib.asynccontextmanager
    async def draining(self, every_s: float = DRAINED_AGAIN_S) -> AsyncIterator[None]:
        """Drain, and again and again meanwhile: figures of a recorder that stands still are soon hidden."""
        over = asyncio.Event()

        async def again() -> None:
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), every_s)
                await self.drain()

        await self.drain()  # makes the tables
        task = asyncio.create_task(again())
        try:
            yield
        finally:
            over.set()
            await task

    def frames(self, stream: str = "") -> list[dict[str, Any]]:
        """The rows of the event log, oldest first, of one stream or of all; `events` is decoded."""
        rows = query(self.database, "SELECT * FROM frames ORDER BY position")
        chosen = [row for row in rows if not stream or row["stream"] == stream]
        return [{**row, "events": json.loads(row["events"])} for row in chosen]

    def events(self, stream: str) -> list[dict[str, Any]]:
        """The events of one stream as the view `events` shows them, in order."""
        rows = query(self.database, "SELECT stream, event FROM events ORDER BY seq")
        return [json.loads(row["event"]) for row in rows if row["stream"] == stream]

    def attempts(self, execution_id: str) -> list[tuple[str, str]]:
        """Provider and reason (`""` for a success) of each ended attempt of an execution, from SQL."""
        ended = ("amos.attempt.succeeded.v1", "amos.attempt.failed.v1")
        events = [event for event in self.events(execution_id) if event["type"] in ended]
        return [(event["provider"], event.get("reason", "")) for event in events]

    async def raw(self, data: bytes, *, closes: bool = False) -> bytes:
        """Send bytes over a connection of their own; everything that comes back until the server closes.

        `closes` ends our side of the connection after the bytes.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            if closes:
                writer.write_eof()
            async with asyncio.timeout(CLIENT_TIMEOUT_S):
                return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def serving(
    data_dir: Path,
    *,
    tavily: TavilySimulator | DeadPort | None = None,
    jina: JinaSimulator | DeadPort | None = None,
    policies: Policies | None = None,
    grace_s: float = GRACE_S,
    port: int = 0,
    **fields: Any,
) -> AsyncIterator[GatewayServer]:
    """A gateway with these providers for as long as the context lasts; its recorder runs when told to.

    Connections that are open then are cut after `grace_s`. `port` 0 takes a free one.
    """
    settings = Settings(data_dir=data_dir, **_tavily(tavily), **_jina(jina), **fields)
    listener = socket.create_server(("127.0.0.1", port))
    port = listener.getsockname()[1]
    # Hypercorn makes the descriptor its own, and closes it.
    config = hypercorn_config(listener.detach())
    config.graceful_timeout = grace_s
    stop = asyncio.Event()
    async with (
        composition.gateway(settings, policies) as gateway,
        RecorderLoop(settings.data_dir, settings.database_url) as recorder,
    ):
        app = create_app(gateway, settings)
        served = asyncio.create_task(hypercorn_serve(app, config, shutdown_trigger=stop.wait, mode="asgi"))
        database = fields.get("database_url", data_dir / "amos.db")
        server = GatewayServer(gateway, settings, port, recorder, database)
        try:
            yield server
        finally:
            await server.client.aclose()
            stop.set()
            await served


def _tavily(provider: TavilySimulator | DeadPort | None) -> dict[str, Any]:
    if provider is None:
        return {}
    return {"tavily_base_url": provider.base_url, "tavily_api_key": _key(provider, TavilySimulator)}


def _jina(provider: JinaSimulator | DeadPort | None) -> dict[str, Any]:
    if provider is None:
        return {}
    return {
        "jina_search_url": f"{provider.base_url}/s",
        "jina_reader_url": f"{provider.base_url}/r",
        "jina_api_key": _key(provider, JinaSimulator),
    }


def _key(provider: Simulator | DeadPort, kind: type[Simulator]) -> str:
    return provider.api_key if isinstance(provider, Simulator) else kind.api_key
