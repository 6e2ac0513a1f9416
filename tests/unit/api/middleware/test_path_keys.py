"""A key in the path becomes one in a header, for everything behind, and only in SearXNG's paths."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from api.middleware.failures import Failures
from api.middleware.path_keys import PathKeys, is_keyed
from api.middleware.redirect import HttpsOnly


async def passed_on(path: str, *headers: tuple[bytes, bytes]) -> Scope:
    """What the application behind sees of a request for the path."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    scope = {"type": "http", "path": path, "raw_path": path.encode(), "headers": list(headers)}
    await PathKeys(app)(scope, _nothing, _nobody)  # type: ignore[arg-type]
    (found,) = seen
    return found


async def _nothing() -> Message:
    raise AssertionError("nobody reads the body here")


async def _nobody(message: Message) -> None:
    raise AssertionError("nobody answers here")


@pytest.mark.parametrize("path", ["/searxng/amos_live_k/search", "/searxng/amos_live_k"])
async def test_the_key_is_moved(path: str):
    """Neither form of the path holds it any more."""
    scope = await passed_on(path, (b"host", b"localhost"))

    assert (scope["path"], scope["raw_path"]) == ("/searxng/search", b"/searxng/search")
    assert scope["headers"] == [(b"host", b"localhost"), (b"authorization", b"Bearer amos_live_k")]


@pytest.mark.parametrize(
    "path",
    ["/searxng", "/searxng/search", "/searxng/a/b", "/searxng/a/search/b", "/search/k", "/v1/search/k", "/"],
)
async def test_other_paths_pass_as_they_are(path: str):
    """Nothing of them is taken for a key."""
    assert not is_keyed(path)
    assert (await passed_on(path))["path"] == path
    assert (await passed_on(path))["headers"] == []


@pytest.mark.parametrize("key", ["\u00e9\u4e2d", "a b", "a,b", "%", "x" * 10_000])
async def test_what_is_no_key_is_a_header_all_the_same(key: str):
    """Whatever stands there is refused where keys are, not here."""
    scope = await passed_on(f"/searxng/{key}/search")

    assert scope["headers"] == [(b"authorization", b"Bearer " + key.encode())]


async def test_it_must_come_by_tls_where_there_is_tls():
    """In clear text it is refused like a key in a header, and never repeated in a redirect."""
    sent: list[dict[str, Any]] = []

    async def send(message: Message) -> None:
        sent.append(dict(message))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("it is refused before")

    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": "/searxng/amos_live_k/search",
        "raw_path": b"/searxng/amos_live_k/search",
        "query_string": b"q=tides",
        "headers": [(b"host", b"localhost")],
    }
    await PathKeys(Failures(HttpsOnly(app, 443, ())))(scope, _nothing, send)

    assert sent[0]["status"] == 403
    assert b"https_required" in sent[1]["body"]
    assert b"amos_live_k" not in repr(sent).encode()
