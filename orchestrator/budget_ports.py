"""What counting money needs from the outside, as protocols; storage and providers implement them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

MARKS = (75, 90)
"""chosen: per cent of a limit that are worth a warning: time to look, and time to act."""

STOPPED = 100
"""The mark of a charge that was refused."""


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """A sum on one account, in millionths of its unit; it may be negative when it settles another.

    `account` and `period` (a UTC day or month) name the figure it adds to, which is kept until `ends_at`.
    """

    account: str
    period: str
    ends_at: float
    limit: int
    amount: int


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """What an account says to a charge: the sum with it, or without it if it did not fit.

    `told` is the highest of `MARKS` and `STOPPED` that was claimed in this period, 0 if none.
    """

    is_refused: bool = False
    spent: int
    told: int = 0


class BudgetStore(Protocol):
    """Counts what is spent. All charges of a call are made or none. All raise BudgetStoreUnavailable.

    The marks of a figure are told for the highest limit that it was ever charged under: where a limit is
    raised, those of the new one are told anew.
    """

    async def reserve(self, charges: Sequence[Charge]) -> tuple[Balance, ...]:
        """Make the charges if no account goes beyond its limit by that; a balance for each, in order."""

    async def claim(self, charge: Charge, mark: int) -> int:
        """Take it upon oneself to tell this mark, and all below it; returns what was claimed before.

        Apart from `reserve`, so that a reservation whose reply is lost takes no warning with it.
        """

    async def settle(self, charges: Sequence[Charge]) -> None:
        """Correct figures by these amounts, whatever the limits.

        A figure that is not there begins with a correction that adds to it; one that takes away is nothing to
        it.
        """

    async def figures(self, charges: Sequence[Charge]) -> tuple[int | None, ...]:
        """What is counted on the account and period of each, in order; `None` where there is no figure."""

    async def raise_to(self, charge: Charge, mark: int = 0) -> None:
        """See to it that the figure is at least the amount, and that no mark up to this one is told again."""


class UsageSource(Protocol):
    """Asks a provider what it has counted for our keys there. Costs nothing."""

    @property
    def provider(self) -> str:
        """Whose count it is."""

    @property
    def unit(self) -> str:
        """In what it counts."""

    @property
    def keys(self) -> int:
        """For how many keys; a counter for other keys is another counter."""

    async def counter(self) -> float:
        """A number that grows by what is used; it falls only when the provider begins to count anew.

        Raises ProviderError.
        """

    async def aclose(self) -> None:
        """Release connections. Safe to call twice."""
