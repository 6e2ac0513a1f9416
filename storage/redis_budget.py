"""Budgets counted for all processes, on Redis: a hash for each account and period, all in one slot.

One script looks at all accounts of a call and charges them all or none. A paid call is one in a hundred
requests at most, so that one slot of a Cluster carries them. Amounts are added by Redis itself, as integers;
they are compared as doubles, which are exact up to 9e15: a thousand million of a provider's units.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from orchestrator.budget_ports import Balance, Charge
from orchestrator.errors import BudgetStoreUnavailable
from storage.memory_budget import GRACE_S
from storage.redis_client import RedisClient, Script

# For each key: limit, amount, the end, and what this process knows to be spent and told. The reply has for
# each whether it is refused, what is spent, and the highest mark that was told.
_RESERVE = Script("""
local balances, is_over = {}, false
for i, key in ipairs(KEYS) do
    local seen = redis.call('HMGET', key, 'spent', 'mark', 'limit')
    local limit, amount = tonumber(ARGV[5 * i - 4]), tonumber(ARGV[5 * i - 3])
    local spent, told = tonumber(seen[1]), tonumber(seen[2]) or 0
    if not spent then
        spent, told = tonumber(ARGV[5 * i - 1]), math.max(told, tonumber(ARGV[5 * i]))
        redis.call('HSET', key, 'spent', ARGV[5 * i - 1], 'mark', told)
    end
    if limit > (tonumber(seen[3]) or 0) then
        if seen[3] then told = 0 end
        redis.call('HSET', key, 'limit', ARGV[5 * i - 4], 'mark', told)
    end
    balances[i] = {0, spent, told}
    if amount > 0 and spent + amount > limit then
        balances[i][1], is_over = 1, true
    end
end
for i, key in ipairs(KEYS) do
    if not is_over then
        balances[i][2] = redis.call('HINCRBY', key, 'spent', ARGV[5 * i - 3])
    end
    redis.call('PEXPIREAT', key, ARGV[5 * i - 2])
end
return balances
""")

# For each key: the amount, the end, and what this process knows to be spent. The reply has what is spent now.
_SETTLE = Script("""
local spent = {}
for i, key in ipairs(KEYS) do
    local amount, known = ARGV[3 * i - 2], ARGV[3 * i]
    local is_there = redis.call('EXISTS', key) == 1
    if not is_there and tonumber(known) > 0 then
        redis.call('HSET', key, 'spent', known)
        is_there = true
    end
    spent[i] = 0
    if is_there or tonumber(amount) > 0 then
        spent[i] = redis.call('HINCRBY', key, 'spent', amount)
        redis.call('PEXPIREAT', key, ARGV[3 * i - 1])
    end
end
return spent
""")

_FIGURES = Script("""
local spent = {}
for i, key in ipairs(KEYS) do spent[i] = redis.call('HGET', key, 'spent') end
return spent
""")

# The amount, the mark, the limit that it is told for, the end, and what this process knows to be spent. The
# reply is the highest mark that was told before.
_RAISE = Script("""
local seen = redis.call('HMGET', KEYS[1], 'spent', 'mark')
local spent, told = seen[1] or ARGV[5], tonumber(seen[2]) or 0
if tonumber(spent) < tonumber(ARGV[1]) then spent = ARGV[1] end
redis.call('HSET', KEYS[1], 'spent', spent)
if told < tonumber(ARGV[2]) then redis.call('HSET', KEYS[1], 'mark', ARGV[2]) end
redis.call('HSETNX', KEYS[1], 'limit', ARGV[3])
redis.call('PEXPIREAT', KEYS[1], ARGV[4])
return told
""")


class Known(NamedTuple):
    """A figure as this process last saw it: what is spent, the highest mark told, the end of its period."""

    spent: int = 0
    told: int = 0
    ends_at: float = 0.0


class RedisBudget:
    """A BudgetStore for all processes on one Redis. Every method is one exchange.

    A Redis that comes back empty gives no budget anew: a figure it does not know begins with what this
    process knows of it.
    """

    def __init__(self, client: RedisClient, now: Callable[[], float] = time.time) -> None:
        self._client = client
        self._now = now
        self._known: dict[str, Known] = {}

    @property
    def is_away(self) -> bool:
        """Whether a call made now would fail without having asked Redis."""
        return self._client.outage is not None

    def known(self, charge: Charge) -> Known:
        """The figure as it was last seen here."""
        return self._known.get(_key(charge), Known())

    async def reserve(self, charges: Sequence[Charge]) -> tuple[Balance, ...]:
        """Make the charges if no account goes beyond its limit by that; a balance for each, in order."""
        arguments = [
            part
            for charge in charges
            for part in (charge.limit, charge.amount, _until_ms(charge), *self.known(charge)[:2])
        ]
        balances = await self._client.evaluate(
            _RESERVE, [_key(charge) for charge in charges], arguments, error=BudgetStoreUnavailable
        )
        for charge, (_, spent, told) in zip(charges, balances, strict=True):
            self._remember(charge, spent, told)
        return tuple(
            Balance(is_refused=bool(is_refused), spent=spent, told=told)
            for is_refused, spent, told in balances
        )

    async def claim(self, charge: Charge, mark: int) -> int:
        """Take it upon oneself to tell this mark, and all below it; returns what was claimed before."""
        told = await self._raise(charge, 0, mark)
        self._remember(charge, self.known(charge).spent, max(told, mark))
        return told

    async def settle(self, charges: Sequence[Charge]) -> None:
        """Correct figures by these amounts, whatever the limits."""
        arguments = [
            part
            for charge in charges
            for part in (charge.amount, _until_ms(charge), self.known(charge).spent)
        ]
        found = await self._client.evaluate(
            _SETTLE, [_key(charge) for charge in charges], arguments, error=BudgetStoreUnavailable
        )
        for charge, spent in zip(charges, found, strict=True):
            self._remember(charge, spent, self.known(charge).told)

    async def figures(self, charges: Sequence[Charge]) -> tuple[int | None, ...]:
        """What is counted, `None` where there is no figure."""
        keys = [_key(charge) for charge in charges]
        found = await self._client.evaluate(_FIGURES, keys, error=BudgetStoreUnavailable) if keys else ()
        figures = tuple(None if spent is None else int(spent) for spent in found)
        for charge, spent in zip(charges, figures, strict=True):
            if spent is not None:
                self._remember(charge, spent, self.known(charge).told)
        return figures

    async def raise_to(self, charge: Charge, mark: int = 0) -> None:
        """See to it that the figure is at least the amount, and that no mark up to this one is told again.

        While Redis is out of reach this is remembered, for when it has no figure.
        """
        known = self.known(charge)
        self._remember(charge, max(known.spent, charge.amount), max(known.told, mark))
        await self._raise(charge, charge.amount, mark)

    async def _raise(self, charge: Charge, amount: int, mark: int) -> int:
        arguments = (amount, mark, charge.limit, _until_ms(charge), self.known(charge).spent)
        told = await self._client.evaluate(_RAISE, (_key(charge),), arguments, error=BudgetStoreUnavailable)
        return int(told)

    def _remember(self, charge: Charge, spent: int, told: int) -> None:
        key = _key(charge)
        if key not in self._known:
            now = self._now()
            self._known = {key: known for key, known in self._known.items() if known.ends_at + GRACE_S > now}
        self._known[key] = Known(spent, told, charge.ends_at)


def _key(charge: Charge) -> str:
    return f"amos:{{budget}}:{charge.account}:{charge.period}"


def _until_ms(charge: Charge) -> int:
    return round((charge.ends_at + GRACE_S) * 1000)
