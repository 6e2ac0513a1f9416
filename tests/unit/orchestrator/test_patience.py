"""A time limit that costs nothing until somebody has to wait."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.patience import within


def now():
    """The time of the loop."""
    return asyncio.get_running_loop().time()


def timers():
    """How many timers are set."""
    return sum(not handle.cancelled() for handle in asyncio.get_running_loop()._scheduled)


async def waiting(*waits, notes=None):
    """Wait several times, then answer; note what interrupts it."""
    try:
        for seconds in waits:
            await asyncio.sleep(seconds)
    except BaseException as error:
        if notes is not None:
            notes.append((type(error), now()))
        raise
    return "done"


async def test_work_that_never_waits_sets_no_timer():
    """A result that is there at once costs no timer, and is given even after the moment."""

    async def at_once():
        return timers()

    assert await within(now() + 5.0, at_once()) == 0
    assert await within(now() - 5.0, waiting()) == "done"


async def test_work_in_time_gives_its_result():
    """Work may wait any number of times before the moment, and leaves no timer behind."""
    assert await within(now() + 5.0, waiting(0.0, 1.0, 2.0, 0.0, 1.9)) == "done"
    assert timers() == 0


async def test_work_is_cancelled_at_the_moment():
    """At the moment the work sees a cancellation, and whoever waited for it a TimeoutError."""
    notes, begun = [], now()

    with pytest.raises(TimeoutError):
        await within(begun + 5.0, waiting(3.0, 60.0, notes=notes))

    assert notes == [(asyncio.CancelledError, pytest.approx(begun + 5.0))]


async def test_a_moment_that_has_passed_ends_the_first_wait():
    """Work that waits after the moment does not wait."""
    begun = now()

    with pytest.raises(TimeoutError):
        await within(begun - 1.0, waiting(60.0))

    assert now() == pytest.approx(begun)


@pytest.mark.parametrize("waits", [(), (1.0,)])
async def test_an_error_of_the_work_passes(waits):
    """What the work raises, before its first wait or after, is what the caller gets."""

    async def failing():
        await waiting(*waits)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await within(now() + 5.0, failing())


async def test_cancellation_reaches_the_work():
    """A caller who leaves takes the work along, and is not told that it was late."""
    notes = []
    task = asyncio.ensure_future(within(now() + 5.0, waiting(60.0, notes=notes)))
    await asyncio.sleep(1.0)

    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert notes == [(asyncio.CancelledError, pytest.approx(now()))]


async def test_work_may_clean_up_after_its_cancellation():
    """What the work awaits on its way out is waited for."""
    cleaned = []

    async def careful():
        try:
            await asyncio.sleep(60.0)
        finally:
            await asyncio.sleep(2.0)
            cleaned.append(now())

    begun = now()
    with pytest.raises(TimeoutError):
        await within(begun + 5.0, careful())

    assert cleaned == [pytest.approx(begun + 7.0)]


async def test_any_awaitable_is_work():
    """A future or task can be limited like a coroutine."""
    task = asyncio.ensure_future(waiting(1.0))

    assert await within(now() + 5.0, task) == "done"


async def test_limits_nest():
    """An inner limit that ends first leaves the outer one as it was."""

    async def outer():
        with pytest.raises(TimeoutError):
            await within(now() + 1.0, waiting(60.0))
        await asyncio.sleep(60.0)

    begun = now()
    with pytest.raises(TimeoutError):
        await within(begun + 5.0, outer())

    assert now() == pytest.approx(begun + 5.0)


async def test_two_limits_at_the_same_moment_end_as_one():
    """Nested limits for the same moment raise one TimeoutError, and no cancellation is left over."""
    moment = now() + 5.0

    with pytest.raises(TimeoutError):
        await within(moment, within(moment, waiting(60.0)))

    assert asyncio.current_task().cancelling() == 0
    await asyncio.sleep(1.0)
