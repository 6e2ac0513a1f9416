"""How each API that has clients here tells them of a failure, by the paths where they may be listening."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from api.rest.dialects import openwebui, perplexity, searxng, tavily

Header = tuple[bytes, bytes]


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """How one API, called `name`, tells its clients of a failure.

    `kind` is the type of the body, `code_at` where our code stands in it. `statuses` are those it has in
    place of ours, `headers` what its clients need with one of ours.
    """

    name: str
    render: Callable[..., bytes]
    kind: type[msgspec.Struct]
    code_at: tuple[str, ...]
    statuses: Mapping[int, int] = {}
    headers: Mapping[int, Header] = {}


# 432 is Tavily's own; others say 429 of a used-up quota. Perplexity's clients repeat one unless told not to.
_QUOTA_IS_429 = {432: 429}

ENVELOPES: dict[str, Envelope] = {
    **dict.fromkeys(
        ("search", "extract", "map", "crawl", "research", "usage", "feedback", "logs", "org-usage"),
        Envelope(
            name="Tavily", render=tavily.render_error, kind=tavily.TavilyError, code_at=("amos", "code")
        ),
    ),
    **dict.fromkeys(
        ("v1", "perplexity"),
        Envelope(
            name="Perplexity",
            render=perplexity.render_error,
            kind=perplexity.PerplexityError,
            code_at=("error", "type"),
            statuses=_QUOTA_IS_429,
            headers={432: (b"x-should-retry", b"false")},
        ),
    ),
    "searxng": Envelope(
        name="SearXNG",
        render=searxng.render_error,
        kind=searxng.SearxngError,
        code_at=("amos", "code"),
        statuses=_QUOTA_IS_429,
    ),
    "openwebui": Envelope(
        name="OpenWebUI",
        render=openwebui.render_error,
        kind=openwebui.OpenWebuiError,
        code_at=("code",),
        statuses=_QUOTA_IS_429,
    ),
}
"""By the first part of a path: where a client of that API may be listening, also on paths we do not offer."""


def envelope_at(path: str) -> Envelope | None:
    """The envelope that clients on this path expect; `None` for problem details."""
    return ENVELOPES.get(path[1:].partition("/")[0])


def status_at(status: int, path: str) -> int:
    """The status that clients on this path know one of ours by."""
    envelope = envelope_at(path)
    return status if envelope is None else envelope.statuses.get(status, status)
