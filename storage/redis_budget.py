"""Budgets counted for all processes, on Redis: a hash for each account and period, all in one slot.

One script looks at all accounts of a call and charges them all or none. A paid call is one in a hundred
requests at most, so that one slot of a Cluster carries them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from orchestrator.errors import BudgetStoreUnavailable
from orchestrator.ports import Balance, Charge
from storage.redis_client import RedisClient, Script

GRACE_S = 86_400.0
"""chosen: a figure outlives its period by a day, for whoever settles late and for clocks that differ."""

_RESERVE = Script("""
local balances, is_over = {}, false
for i, key in ipairs(KEYS) do
    local seen = redis.call('HMGET', key, 'spent', 'mark')
    local spent, limit, amount = tonumber(seen[1]), tonumber(ARGV[4 * i - 3]), tonumber(ARGV[4 * i - 2])
    if not spent then
        spent = tonumber(ARGV[4 * i])
        redis.call('HSET', key, 'spent', ARGV[4 * i])
    end
    balances[i] = {0, spent, 0, tonumber(seen[2] or 0)}
    if spent + amount > limit then
        balances[i][1], is_over = 1, true
    end
end
for i, key in ipairs(KEYS) do
    local limit, balance, mark = tonumber(ARGV[4 * i - 3]), balances[i], 0
    if is_over then
        if balance[1] == 1 then mark = 100 end
    else
        balance[2] = redis.call('HINCRBY', key, 'spent', ARGV[4 * i - 2])
        for _, step in ipairs({75, 90}) do
            if balance[2] * 100 >= limit * step then mark = step end
        end
    end
    if mark > balance[4] then
        redis.call('HSET', key, 'mark', mark)
        balance[3] = mark
    end
    redis.call('PEXPIREAT', key, ARGV[4 * i - 1])
end
return balances
""")

_SETTLE = Script("""
for i, key in ipairs(KEYS) do
    if redis.call('EXISTS', key) == 1 then redis.call('HINCRBY', key, 'spent', ARGV[i]) end
end
return 1
""")

_SEED = Script("""
redis.call('HSETNX', KEYS[1], 'spent', ARGV[1])
return redis.call('PEXPIREAT', KEYS[1], ARGV[2])
""")


class RedisBudget:
    """A BudgetStore for all processes on one Redis. Every method is one exchange.

    A Redis that comes back empty, or was away when the figures were seeded, gives no budget anew: a figure it
    does not know begins with what this process knows of it.
    """

    def __init__(self, client: RedisClient, now: Callable[[], float] = time.time) -> None:
        self._client = client
        self._now = now
        self._known: dict[str, tuple[int, float]] = {}
        """By key the figure last seen here, and the end of its period."""

    async def reserve(self, charges: Sequence[Charge]) -> tuple[Balance, ...]:
        """Make the charges if no account goes beyond its limit by that; a balance for each, in order."""
        arguments = [
            part
            for charge in charges
            for part in (
                charge.limit,
                charge.amount,
                _until_ms(charge),
                self._known.get(_key(charge), (0, 0.0))[0],
            )
        ]
        balances = await self._client.evaluate(
            _RESERVE, [_key(charge) for charge in charges], arguments, error=BudgetStoreUnavailable
        )
        for charge, (_, spent, *_) in zip(charges, balances, strict=True):
            self._remember(charge, spent)
        return tuple(
            Balance(is_refused=bool(is_refused), spent=spent, mark=mark)
            for is_refused, spent, mark, _ in balances
        )

    async def settle(self, charges: Sequence[Charge]) -> None:
        """Correct what was reserved by the difference, whatever the limits."""
        await self._client.evaluate(
            _SETTLE,
            [_key(charge) for charge in charges],
            [charge.amount for charge in charges],
            error=BudgetStoreUnavailable,
        )

    async def seed(self, charge: Charge) -> None:
        """Begin a figure that is not there yet with what was spent before."""
        if _key(charge) not in self._known:
            self._remember(charge, charge.amount)
        await self._client.evaluate(
            _SEED, (_key(charge),), (charge.amount, _until_ms(charge)), error=BudgetStoreUnavailable
        )

    def _remember(self, charge: Charge, spent: int) -> None:
        key = _key(charge)
        if key not in self._known:
            now = self._now()
            self._known = {key: known for key, known in self._known.items() if known[1] > now}
        self._known[key] = spent, charge.ends_at


def _key(charge: Charge) -> str:
    return f"amos:{{budget}}:{charge.account}:{charge.period}"


def _until_ms(charge: Charge) -> int:
    return round((charge.ends_at + GRACE_S) * 1000)
