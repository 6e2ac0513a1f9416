"""What a client would rather have, as its header `Accept` says (RFC 9110, 12.5.1)."""

from __future__ import annotations

import re

_WEIGHT = re.compile(r"[01](\.[0-9]{0,3})?")


def quality(accept: str, media_type: str) -> float:
    """How much the header (`""` for none) wants a type by its name, 0 to 1; 0 for a weight that is none."""
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        if name == media_type and _WEIGHT.fullmatch(weight):
            return float(weight)
    return 0.0
