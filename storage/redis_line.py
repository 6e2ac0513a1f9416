"""Commands to Redis and its replies back, in the three ways Redis can be installed; decides nothing.

redis-py connects, authenticates, finds the master and follows redirections. It never tries again on its own
and has no timeout on single reads: `redis_client` gives each exchange a deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol

from redis.asyncio import ConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.client import PubSub
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ClusterDownError, NoPermissionError, ReadOnlyError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig
from typing_extensions import override

from storage.redis_url import RedisAddress

Command = tuple[str | bytes | int | float, ...]

CONNECT_S = 0.3
"""chosen: one host that swallows packets must not use up the second that a probe has for all Sentinels."""

EXCHANGES_MAX = 2
"""chosen: exchanges at once. Each carries all that was asked while the other was under way, so more of them
would only make each smaller; the server does one thing at a time."""

CONNECTIONS_MAX = 10
"""chosen: connections to one server: two for exchanges, two for the probe that opens and checks as many, one
for the subscription, and as many again for those that are being given up."""

COMMANDS_MAX = 64
"""chosen: more save no time, and on a busy loop their answers take more turns than a deadline grants."""


OUT_OF_SERVICE = (ReadOnlyError, ClusterDownError, NoPermissionError)
"""Refusals that would meet every other call as well. A full memory is none: it can still be read."""

PROBE_LIFE_MS = 10_000
"""chosen: a probe's key leaves soon after the last instance has ended."""

PROBES_MAX = 32
"""chosen: 32 keys miss one of three nodes once in a hundred thousand times, and meet a third of a hundred."""


Send = Callable[[Sequence[Command]], Awaitable[list[Any]]]
"""Sends commands to one server, and gives the raw replies as `Line.send` does."""


class Line(Protocol):
    """A way to Redis. A cancelled `send` drops its connections."""

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """The replies in order, a refusal as a `ResponseError` among them.

        Raises RedisError, RedisClusterException or OSError if there is no getting through.
        """

    async def primaries(self) -> list[Send]:
        """A way to each server that takes writes, for commands about all its keys. Raises as `send`."""

    async def probe(self) -> None:
        """Write something. Raises what `send` raises, and the refusals of `OUT_OF_SERVICE`."""

    def subscription(self) -> PubSub:
        """A connection for messages, made when it first subscribes; whoever asked for it closes it."""

    async def hang_up(self) -> None:
        """Drop idle connections, so that the next exchange finds out anew where Redis is."""

    async def aclose(self) -> None:
        """Drop all connections."""


def open_line(address: RedisAddress) -> Line:
    """The way to that installation; connects when first used."""
    options: dict[str, Any] = {
        "username": address.user,
        "password": address.password,
        "socket_connect_timeout": CONNECT_S,
        "socket_timeout": None,
        "protocol": 3,
        "client_name": "amos",
        "max_connections": CONNECTIONS_MAX,
        # One redis-py retry is a reconnect and a resend within our deadline; ten are a storm.
        "retry": _no_retry(),
        # A question about planned maintenance, asked on each connect, that only Redis Enterprise understands.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    if address.is_tls:
        options |= {"ssl": True, **address.tls}
    if address.mode == "cluster":
        nodes = [ClusterNode(host, port) for host, port in address.hosts]
        return _ClusterLine(RedisCluster(startup_nodes=nodes, **options))
    options |= {"db": address.db}
    if address.mode == "sentinel":
        sentinel = Sentinels(
            address.hosts,
            sentinel_kwargs={
                "socket_connect_timeout": CONNECT_S,
                "socket_timeout": CONNECT_S,
                "protocol": 3,
                "retry": _no_retry(),
                "maint_notifications_config": MaintNotificationsConfig(enabled=False),
            },
            **options,
        )
        return _ServerLine(sentinel.master_for(address.master), sentinel)
    host, port = address.hosts[0]
    return _ServerLine(Redis(host=host, port=port, **options))


class Sentinels(Sentinel):
    """redis-py's, asked by one at a time for the primary.

    It puts the Sentinel that knew to the front of its list by exchanging two places, counted before it asked.
    With redis-py 8.1 two who ask at once can so drop one for good: never asked again, and never closed.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]
        self._turn = asyncio.Lock()

    @override
    async def discover_master(self, service_name: str) -> Any:
        """The address of the primary. Raises MasterNotFoundError."""
        async with self._turn:
            return await super().discover_master(service_name)


class _ServerLine:
    """One server, found by name if there are Sentinels."""

    def __init__(self, client: Redis, sentinel: Sentinel | None = None) -> None:
        self._client = client
        self._sentinel = sentinel

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """One write, then the replies."""
        pool: ConnectionPool = self._client.connection_pool
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            return await _exchange(connection, commands)
        finally:
            # One with replies left unread, by an error or a cancellation, is closed by redis-py itself.
            await pool.release(connection)

    async def primaries(self) -> list[Send]:
        """The one there is."""
        return [self.send]

    async def probe(self) -> None:
        """Write something."""
        _check(await self.send([("SET", "amos:probe", 1, "PX", PROBE_LIFE_MS)]))

    def subscription(self) -> PubSub:
        """A connection for messages."""
        return self._client.pubsub()

    async def hang_up(self) -> None:
        """Drop idle connections."""
        await self._client.connection_pool.disconnect(inuse_connections=False)

    async def aclose(self) -> None:
        """Drop all connections."""
        await self._client.connection_pool.aclose()
        if self._sentinel is not None:
            await self._sentinel.aclose()


class _ClusterLine:
    """A Cluster, whose keys are spread over nodes."""

    def __init__(self, client: RedisCluster) -> None:
        self._client = client

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """One write for each node concerned, at once, then the replies."""
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
        for reply in replies:
            if isinstance(reply, Exception) and not isinstance(reply, ResponseError):
                raise reply
        return replies

    async def primaries(self) -> list[Send]:
        """A way to each of them."""
        await self._client.initialize()
        return [partial(_send_to, node) for node in self._client.get_primaries()]

    async def probe(self) -> None:
        """Write something to every node: one that has just come back refuses while the others are content."""
        await self._client.initialize()
        keys = {
            self._client.keyslot(key): key for key in (f"amos:probe:{number}" for number in range(PROBES_MAX))
        }
        by_node = {
            self._client.nodes_manager.get_node_from_slot(slot).name: key for slot, key in keys.items()
        }
        _check(await self.send([("SET", key, 1, "PX", PROBE_LIFE_MS) for key in by_node.values()]))

    def subscription(self) -> PubSub:
        """A connection for messages, to one node: what is published at any of them reaches all."""
        return self._client.pubsub()

    async def hang_up(self) -> None:
        """Drop all connections; the next exchange begins by asking for the nodes."""
        await self._client.aclose()

    async def aclose(self) -> None:
        """Drop all connections."""
        await self._client.aclose()


async def _send_to(node: ClusterNode, commands: Sequence[Command]) -> list[Any]:
    """One write to this node, then the replies."""
    connection = node.acquire_connection()
    try:
        return await _exchange(connection, commands)
    finally:
        node.release(connection)


async def _exchange(connection: AbstractConnection, commands: Sequence[Command]) -> list[Any]:
    """The raw replies in order, refusals among them."""
    replies: list[Any] = []
    await connection.send_packed_command(connection.pack_commands(commands))
    for _ in commands:
        try:
            replies.append(await connection.read_response())
        except ResponseError as refusal:
            replies.append(refusal)
    return replies


def _check(replies: list[Any]) -> None:
    for reply in replies:
        if isinstance(reply, OUT_OF_SERVICE):
            raise reply


def _no_retry() -> Retry:
    return Retry(NoBackoff(), 0)
