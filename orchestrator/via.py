"""Which installations a call has come through, so that one which leads back to itself ends at once.

A gateway may be a provider of another, over MCP or as a search engine. Registered at itself, directly or by
way of others, it would wait for its own answer: the second call is the same search, so it joins the flight of
the first. Each installation therefore adds its own name to the header `Amos-Via`, and refuses a call that has
come through it before, or through too many.
"""

from __future__ import annotations

import re
from typing import Any

from orchestrator.errors import LoopDetected
from orchestrator.model import Call

HEADER = "Amos-Via"
"""The header: names of installations, separated by commas, the first one first."""

HOPS_MAX = 8
"""chosen: nobody builds so long a chain on purpose, and each hop costs time and perhaps money."""

_NAMES = re.compile(rb"[0-9a-f]{16}(, ?[0-9a-f]{16}){0,31}")


def read_via(header: bytes | None) -> tuple[str, ...]:
    """The installations a header names, none if it is not one of ours."""
    if header is None or _NAMES.fullmatch(header) is None:
        return ()
    return tuple(name.strip() for name in header.decode().split(","))


def via_headers(call: Call[Any], installation: str) -> dict[str, str]:
    """The header of a call to what may be a gateway; none if we have no name."""
    return {HEADER: ", ".join((*call.caller.via, installation))} if installation else {}


def check_via(via: tuple[str, ...], installation: str) -> None:
    """Raises LoopDetected for a call that has come through this installation, or through too many."""
    if installation in via:
        raise LoopDetected("This search leads back to the gateway it came from.")
    if len(via) >= HOPS_MAX:
        raise LoopDetected(f"This search has come through {len(via)} gateways, which leads nowhere.")
