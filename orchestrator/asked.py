"""A search as it is kept beside its text, so that it can be asked again, and how it is made of that again.

What a caller left out is left out here too: the defaults of the day apply when it is asked again, as they
would for the caller.
"""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator.model import SearchRequest

OPTIONS_BYTES_MAX = 16_384
"""chosen: 300 domains and all unknown fields fit. What is larger is not kept: it is not asked often, and a
frame that is too large would refuse the call it belongs to."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def options_of(request: SearchRequest) -> str:
    """Everything that was asked for but the query, as JSON; `""` if that is too much to be kept."""
    fields: dict[str, Any] = msgspec.to_builtins(request)
    del fields["query"]
    options = _encode(fields)
    return "" if len(options) > OPTIONS_BYTES_MAX else options.decode()


def asked_again(text: str, options: str) -> SearchRequest | None:
    """The search with this text and these options, none if `""`; `None` if they are none of this version."""
    try:
        fields = _decode(options or "{}")
        return msgspec.convert({**fields, "query": text}, SearchRequest)
    except (msgspec.MsgspecError, RecursionError):
        return None
