"""What Tavily has counted for our keys: `GET /usage`, which is free and may be asked once a minute."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from orchestrator.errors import ProviderProtocolError
from orchestrator.providers.billing import billed_amount
from orchestrator.providers.upstream import Upstream
from orchestrator.providers.upstream_faults import reading_answer, status_fault

CREDITS_MAX = 1e9
"""chosen: a hundred thousand times Tavily's largest plan; a larger number is no count of credits."""


class _Key(msgspec.Struct):
    usage: float


class _Usage(msgspec.Struct):
    key: _Key


class TavilyUsage:
    """A UsageSource: the credits of the running billing cycle, of all keys together.

    `base_url` may have a path; `aclose` closes the upstream it was given.
    """

    provider = "tavily"
    unit = "credits"

    def __init__(self, upstream: Upstream, base_url: str, api_keys: Sequence[str]) -> None:
        self._upstream = upstream
        self._url = base_url.rstrip("/") + "/usage"
        self._api_keys = tuple(api_keys)

    @property
    def keys(self) -> int:
        """How many keys are counted."""
        return len(self._api_keys)

    async def counter(self) -> float:
        """The sum over the keys. Raises ProviderError if one of them is not told."""
        return sum([await self._of(key) for key in self._api_keys])

    async def aclose(self) -> None:
        """Close the connections. Safe to call twice."""
        await self._upstream.aclose()

    async def _of(self, key: str) -> float:
        reply = await self._upstream.get(self._url, headers={"Authorization": f"Bearer {key}"})
        if reply.status != 200:
            raise status_fault(reply, self.provider)
        with reading_answer(self.provider):
            usage = billed_amount(msgspec.json.decode(reply.body, type=_Usage).key.usage, CREDITS_MAX)
        if usage is None:
            raise ProviderProtocolError(
                f"{self.provider} told a usage that is none.", provider=self.provider, reason="bad_shape"
            )
        return usage
