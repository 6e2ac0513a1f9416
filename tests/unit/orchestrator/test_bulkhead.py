"""A bulkhead: so much of one kind of work at once; who finds no place waits for a short time."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.bulkhead import Bulkhead
from orchestrator.errors import Overloaded


class Work:
    """Work that takes a second behind a bulkhead with two places; notes how much was under way at once."""

    def __init__(self) -> None:
        self.bulkhead = Bulkhead(2, wait_s=2.5, refusal="Too much.")
        self.under_way = 0
        self.most = 0

    async def do(self, number: int) -> int:
        """One piece of it."""
        async with self.bulkhead.place():
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            try:
                await asyncio.sleep(1.0)
            finally:
                self.under_way -= 1
        return number


async def test_so_much_is_under_way_and_the_rest_waits_its_turn():
    """Those who came first are served first; who had no place in time is refused and told when to return."""
    work = Work()

    done = await asyncio.gather(*(work.do(number) for number in range(9)), return_exceptions=True)

    assert work.most == 2
    assert done[:6] == list(range(6))
    for refusal in done[6:]:
        assert isinstance(refusal, Overloaded)
        assert (refusal.message, refusal.retry_after_s) == ("Too much.", 2.5)


async def test_a_place_is_given_back_however_the_work_ends():
    """Work that is cut off, while it waits or while it is done, leaves no place taken, nor does a fault."""
    work = Work()
    cut_off = [asyncio.create_task(work.do(number)) for number in range(4)]
    await asyncio.sleep(0.1)
    for task in cut_off:
        task.cancel()
    await asyncio.gather(*cut_off, return_exceptions=True)
    with pytest.raises(ZeroDivisionError):
        async with work.bulkhead.place():
            raise ZeroDivisionError

    begun_at = asyncio.get_running_loop().time()
    assert await asyncio.gather(work.do(1), work.do(2)) == [1, 2]
    assert asyncio.get_running_loop().time() - begun_at == pytest.approx(1.0)
