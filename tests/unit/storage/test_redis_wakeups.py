"""Who waits for a flight is woken when it may have landed, whatever happens to the connection.

The connection is a script here, and time is virtual; tests/integration/test_redis_wakeups.py has real ones.
"""

from __future__ import annotations

import asyncio

import pytest

from storage.redis_wakeups import AGAIN_S, PING_S, RedisWakeups


class Subscription:
    """Plays back messages, each after its seconds; then it is silent. A failure is raised."""

    def __init__(self, *script):
        self.script = list(script)
        self.pings = 0
        self.is_closed = False

    async def subscribe(self, channel):
        """Always goes well."""

    async def get_message(self, **wait):
        """The next of the script if it is due within the timeout."""
        timeout = wait["timeout"]
        after_s, message = self.script[0] if self.script else (float("inf"), None)
        await asyncio.sleep(min(after_s, timeout))
        if after_s > timeout:
            self.script[:1] = [(after_s - timeout, message)]
            return None
        del self.script[0]
        if isinstance(message, Exception):
            raise message
        return message

    async def ping(self):
        """Counted; whether anybody answers is in the script."""
        self.pings += 1

    async def aclose(self):
        """The end."""
        self.is_closed = True


class Client:
    """What a RedisClient is to the wakeups: its outage, and a subscription whenever one is asked for."""

    def __init__(self, *subscriptions):
        self.outage = None
        self.left = list(subscriptions)

    def subscription(self):
        """The next one of the test; when there is none left, one that is silent."""
        return self.left.pop(0) if self.left else Subscription(SUBSCRIBED)


SUBSCRIBED = (0.0, {"type": "subscribe", "data": 1})


def landed(key, after_s=0.0):
    """A message, so long after the one before."""
    return after_s, {"type": "message", "data": key.encode()}


@pytest.fixture
async def listening():
    """Makes wakeups that listen to these subscriptions, and ends them."""
    made = []

    def listen(*subscriptions):
        made.append(RedisWakeups(Client(*subscriptions)))
        made[-1].start()
        return made[-1]

    yield listen
    for wakeups in made:
        await wakeups.aclose()


async def test_only_who_waits_for_the_key_is_woken(listening):
    """A message names a key; all who wait for that one are woken, and nobody else."""
    wakeups = listening(Subscription(SUBSCRIBED, landed("k1", 1.0)))

    with (
        wakeups.listening("k1") as one,
        wakeups.listening("k1") as other,
        wakeups.listening("k2") as stranger,
    ):
        await asyncio.sleep(0.5)
        for event in (one, other, stranger):
            event.clear()
        await asyncio.sleep(1.0)

        assert (one.is_set(), other.is_set(), stranger.is_set()) == (True, True, False)
    assert len(wakeups) == 0


async def test_who_listens_again_is_told_to_look(listening):
    """What landed before the subscription was heard by nobody, so everybody looks once it stands."""
    wakeups = listening(Subscription((1.0, SUBSCRIBED[1])))

    with wakeups.listening("k1") as event:
        await asyncio.sleep(0.9)
        assert not wakeups.is_heard
        event.clear()
        await asyncio.sleep(0.2)

        assert wakeups.is_heard
        assert event.is_set()


@pytest.mark.parametrize("failure", [ConnectionError(), TimeoutError(), ZeroDivisionError()])
async def test_a_lost_connection_is_replaced(listening, failure):
    """Whatever ends it, those who wait look once, the old one is closed, and the next is heard soon."""
    first = Subscription(SUBSCRIBED, (1.0, failure))
    wakeups = listening(first)

    with wakeups.listening("k1") as event:
        await asyncio.sleep(0.5)
        event.clear()
        await asyncio.sleep(0.5 + AGAIN_S / 2)
        assert event.is_set()
        assert not wakeups.is_heard
        assert first.is_closed
        await asyncio.sleep(AGAIN_S)

        assert wakeups.is_heard


async def test_a_connection_that_died_unseen_is_given_up(listening):
    """Silence is asked about once; without an answer the connection is replaced."""
    silent = Subscription(SUBSCRIBED)
    wakeups = listening(silent)

    await asyncio.sleep(2 * PING_S - 0.1)
    assert (silent.pings, silent.is_closed) == (1, False)
    await asyncio.sleep(0.2)

    assert silent.is_closed
    assert not wakeups.is_heard
    await asyncio.sleep(AGAIN_S)
    assert wakeups.is_heard


async def test_a_quiet_connection_that_lives_is_kept(listening):
    """However long nothing lands, an answered question is enough."""
    pong = {"type": "pong", "data": b""}
    quiet = Subscription(SUBSCRIBED, *[(PING_S + 0.1, pong)] * 10)
    wakeups = listening(quiet)

    await asyncio.sleep(10 * (PING_S + 0.1))

    assert wakeups.is_heard
    assert not quiet.is_closed


async def test_nobody_listens_during_an_outage(listening):
    """While Redis is out of reach no connection is tried; when it is back one is made."""
    wakeups = listening(Subscription(SUBSCRIBED, landed("k1", 1.0)))
    client = wakeups._client
    await asyncio.sleep(0.5)
    client.outage = "away"
    await asyncio.sleep(60.0)

    assert not wakeups.is_heard
    client.outage = None
    await asyncio.sleep(AGAIN_S)
    assert wakeups.is_heard


async def test_who_leaves_leaves_nothing():
    """A wait that is cancelled is forgotten; ended twice is ended."""
    wakeups = RedisWakeups(Client())
    wakeups.start()

    async def wait():
        with wakeups.listening("k1") as event:
            event.clear()
            await event.wait()

    waits = [asyncio.create_task(wait()) for _ in range(1_000)]
    await asyncio.sleep(0)
    assert len(wakeups) == 1
    for task in waits:
        task.cancel()
    await asyncio.wait(waits)

    assert len(wakeups) == 0
    await wakeups.aclose()
    await wakeups.aclose()
