"""LiteLLM's search. Runs in .venv-clients."""

from __future__ import annotations

from typing import Any

import litellm

from tests.support.foreign_side import answer_calls


def search(provider: str, base: str, key: str, **arguments: Any) -> Any:
    """What `litellm.search` returns from AMOS, spoken to as if it were this provider."""
    return litellm.search(search_provider=provider, api_base=base, api_key=key, **arguments)


async def asearch(provider: str, base: str, key: str, **arguments: Any) -> Any:
    """The same of `litellm.asearch`."""
    return await litellm.asearch(search_provider=provider, api_base=base, api_key=key, **arguments)


if __name__ == "__main__":
    answer_calls({"search": search, "asearch": asearch})
