"""The paths at which the dialects that are not native are spoken, and what answers there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.middleware.path_keys import WITHOUT_KEY, is_keyed
from api.rest.dialects import openwebui, perplexity, searxng
from api.rest.problems import Problem
from api.rest.search import ExtractEndpoint, SearchEndpoint

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from orchestrator.gateway import Gateway

PATHS = {
    "/v1/search": perplexity.SEARCH,
    "/perplexity/search": perplexity.SEARCH,
    "/searxng": searxng.SEARCH,
    "/searxng/search": searxng.SEARCH,
    "/openwebui/search": openwebui.SEARCH,
}
"""Searches by their path."""

LOAD_PATH = "/openwebui/load"

TOOL_ROUTE = "/v1/search/{tool}"
"""LiteLLM's clients name a tool of its configuration; here every name means this gateway."""

_TOOLS = "/v1/search/"


class Doors:
    """Finds what answers at a path."""

    def __init__(self, gateway: Gateway) -> None:
        self.exact: dict[str, ASGIApp] = {
            **{path: SearchEndpoint(gateway, dialect, path) for path, dialect in PATHS.items()},
            LOAD_PATH: ExtractEndpoint(gateway, openwebui.LOAD, LOAD_PATH),
        }
        self._tool = SearchEndpoint(gateway, perplexity.SEARCH, TOOL_ROUTE)

    def below(self, path: str) -> ASGIApp | None:
        """What answers at a path with a part that anybody may choose; `None` for no such path."""
        if path.startswith(_TOOLS) and "/" not in path[len(_TOOLS) :]:
            return self._tool
        return _keys_are_off if is_keyed(path) else None


async def _keys_are_off(scope: Scope, receive: Receive, send: Send) -> None:
    raise Problem(
        404,
        "path_keys_off",
        f"A key in the path is not accepted here. Ask {WITHOUT_KEY} with the key in a header, or have "
        "AMOS_PATH_KEYS set to true. The key in this path may have been logged on its way and should be "
        "replaced.",
    )
