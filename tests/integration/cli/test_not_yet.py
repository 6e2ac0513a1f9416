"""`events show` of a call that was just answered, while the recorder has yet to bring it in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.gateway_server import serving

if TYPE_CHECKING:
    from tests.support.command_line import InThisProcess


@pytest.mark.parametrize("is_asked", [True, False], ids=["a server", "the record here"])
async def test_an_execution_just_answered_is_waited_for(amos: InThisProcess, is_asked: bool):
    """The command waits for the recorder, at a server and beside one, and shows the call in the end."""
    async with serving(amos.folder / "var", local_paths=(amos.folder / "pages",)) as server:
        async with httpx.AsyncClient(base_url=server.base_url, trust_env=False) as client:
            found = (await client.post("/search", json={"query": "circuit breaker"})).json()
        where = ("--url", server.base_url) if is_asked else ()
        asking = asyncio.create_task(
            asyncio.to_thread(
                amos.apart.run, "events", "show", found["amos"]["execution_id"], "--json", *where
            )
        )
        await asyncio.sleep(2.5)  # the command needs about a second to start
        is_waiting = not asking.done()
        await server.drain()
        shown = await asking
        await server.drain()
        shown = await asking

    assert is_waiting, shown
    assert shown.exit_code == 0, shown.stderr
    assert shown.json["explanation"]["status"] == "answered"
