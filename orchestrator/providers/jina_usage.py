"""What Jina has left for our keys: the balance on the reader's index page, which is free.

The page is not documented and may change; then nothing is compared, and that is all. Keys of one account show
one balance, which is counted once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from orchestrator.errors import ProviderProtocolError
from orchestrator.providers.billing import billed_amount
from orchestrator.providers.jina_faults import NAME
from orchestrator.providers.upstream import Upstream
from orchestrator.providers.upstream_faults import reading_answer, status_fault

BALANCE_MAX = 1e13
"""chosen: ten thousand of Jina's largest packages; a larger number is no balance."""


class _Account(msgspec.Struct, rename={"name": "authenticatedAs", "balance": "balanceLeft"}):
    balance: Any = None
    name: Any = None


class _Index(msgspec.Struct):
    data: _Account


class JinaUsage:
    """A UsageSource: the balance of all accounts together, below zero, so that it grows as tokens are used.

    `reader_url` is called exactly as given; `aclose` closes the upstream it was given.
    """

    provider = NAME
    unit = "tokens"

    def __init__(self, upstream: Upstream, reader_url: str, api_keys: Sequence[str]) -> None:
        self._upstream = upstream
        self._url = reader_url
        self._api_keys = tuple(api_keys)

    @property
    def keys(self) -> int:
        """How many keys are counted."""
        return len(self._api_keys)

    async def counter(self) -> float:
        """Minus the sum of the balances. Raises ProviderError if one of them is not told."""
        balances: dict[Any, float] = {}
        for key in self._api_keys:
            name, balance = await self._of(key)
            balances[name or key] = balance
        return -sum(balances.values())

    async def aclose(self) -> None:
        """Close the connections. Safe to call twice."""
        await self._upstream.aclose()

    async def _of(self, key: str) -> tuple[str, float]:
        """The account that a key belongs to, `""` if that is not told, and its balance."""
        reply = await self._upstream.get(self._url, headers={"Authorization": f"Bearer {key}"})
        if reply.status != 200:
            raise status_fault(reply, NAME)
        with reading_answer(NAME):
            account = msgspec.json.decode(reply.body, type=_Index).data
        balance = billed_amount(account.balance, BALANCE_MAX)
        if balance is None:
            raise ProviderProtocolError(f"{NAME} told no balance.", provider=NAME, reason="bad_shape")
        return account.name if isinstance(account.name, str) else "", balance
