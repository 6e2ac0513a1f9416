"""The live list: what is new, whatever the clocks of instances say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import httpx

    from tests.support.memory_gateway import MemoryGateway


async def test_what_a_clock_that_is_ahead_has_dated_is_shown(
    client: httpx.AsyncClient, memory: MemoryGateway
):
    """An execution of a moment to come is one of now, at an instance whose clock is fast."""
    await client.get("/?q=tides")
    frames = memory.journal.frames
    frames[:] = [msgspec.structs.replace(one, recorded_at=one.recorded_at + 3.0) for one in frames]

    assert frames[-1].stream in (await client.get("/console/live")).text
