"""Several Valkeys as one: a master with its replica and three Sentinels, and a Cluster of three."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Self

from redis import Redis

from tests.support.valkey import Valkey, free_ports

MASTER = "main"
"""The name by which the Sentinels know the master."""

DOWN_AFTER_MS = 500
"""Sentinels take a master that is silent for so long for dead."""

START_S = 30.0
"""A start that takes longer has failed."""

SLOTS_COUNT = 16_384
"""Redis Cluster specification: the slots of a Cluster."""

KEYS_AT_ONCE = 10
"""As many keys `valkey-cli` moves in one step."""

MIGRATE_MS = 5_000
"""What a step may take, in milliseconds."""


class Sentinels:
    """A master, its replica, and three Sentinels that put the replica in the master's place when it dies."""

    def __init__(self) -> None:
        # A master waits five seconds for further replicas before it sends its data to the first.
        self.master = Valkey(repl_diskless_sync_delay=0)
        self.replica = Valkey(replicaof=f"127.0.0.1 {self.master.port}", repl_diskless_sync_delay=0)
        self.sentinels: list[Valkey] = []

    @property
    def url(self) -> str:
        """What AMOS is told."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{MASTER}"

    def launch(self) -> Self:
        """Start all; returns when the Sentinels know each other and the replica."""
        self.master.launch()
        self.replica.launch()
        # A Sentinel that finds no replica at its first look looks again after ten seconds.
        _until(lambda: self.replica.command("INFO", "replication")["master_link_status"] == "up")
        watched = f"monitor {MASTER} 127.0.0.1 {self.master.port} 2"
        self.sentinels = [Valkey(mode="sentinel", sentinel=watched) for _ in range(3)]
        for sentinel in self.sentinels:
            sentinel.launch()
            sentinel.command("SENTINEL", "SET", MASTER, "down-after-milliseconds", DOWN_AFTER_MS)
            sentinel.command("SENTINEL", "SET", MASTER, "failover-timeout", 2_000)
        _until(lambda: all(self._knows_all(sentinel) for sentinel in self.sentinels))
        return self

    def flushall(self) -> None:
        """Forget all entries."""
        self.master.flushall()

    def close(self) -> None:
        """Kill all."""
        for server in (*self.sentinels, self.replica, self.master):
            server.close()

    def _knows_all(self, sentinel: Valkey) -> bool:
        seen = sentinel.command("SENTINEL", "MASTER", MASTER)
        return int(seen["num-slaves"]) == 1 and int(seen["num-other-sentinels"]) == 2


class Cluster:
    """Three nodes, each with a third of the slots and no replica."""

    def __init__(self) -> None:
        self.nodes: list[Valkey] = []

    @property
    def url(self) -> str:
        """What AMOS is told."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def launch(self) -> Self:
        """Start all; returns when each says that the Cluster is whole."""
        # The default port of a bus, the node's + 10,000, may be beyond the last port there is.
        ports = free_ports(6)
        buses = ports[3:]
        for port, bus in zip(ports, buses, strict=False):
            self.nodes.append(Valkey(port=port, cluster_enabled="yes", cluster_port=bus))
            self.nodes[-1].launch()
        for number, node in enumerate(self.nodes):
            begin, end = SLOTS_COUNT * number // 3, SLOTS_COUNT * (number + 1) // 3 - 1
            node.command("CLUSTER", "ADDSLOTSRANGE", begin, end)
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number:
                node.command("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port, buses[0])
        _until(lambda: all(self._is_whole(node) for node in self.nodes))
        return self

    def flushall(self) -> None:
        """Forget all entries."""
        for node in self.nodes:
            node.flushall()

    def move_slots(self, slots: Iterable[int]) -> None:
        """Give slots with all their keys to the next node, as `valkey-cli --cluster reshard` does.

        Each must still be where it was at the start.
        """
        with ExitStack() as stack:
            clients = [stack.enter_context(Redis(port=node.port)) for node in self.nodes]
            ids = [client.execute_command("CLUSTER MYID") for client in clients]
            for slot in slots:
                source = slot * 3 // SLOTS_COUNT
                target = (source + 1) % 3
                here, there = clients[source], clients[target]
                there.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[source])
                here.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[target])
                while keys := here.execute_command("CLUSTER GETKEYSINSLOT", slot, KEYS_AT_ONCE):
                    address = "127.0.0.1", self.nodes[target].port
                    here.execute_command("MIGRATE", *address, "", 0, MIGRATE_MS, "REPLACE", "KEYS", *keys)
                for client in (there, here, *clients):
                    client.execute_command("CLUSTER SETSLOT", slot, "NODE", ids[target])

    def slot(self, key: str) -> int:
        """The slot of a key."""
        return int(self.nodes[0].command("CLUSTER", "KEYSLOT", key))

    def close(self) -> None:
        """Kill all."""
        for node in self.nodes:
            node.close()

    def _is_whole(self, node: Valkey) -> bool:
        info = node.command("CLUSTER", "INFO")
        return "cluster_state:ok" in info and "cluster_known_nodes:3" in info


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_S
    while not condition():
        assert time.monotonic() < deadline, "the servers do not find each other"
        time.sleep(0.02)
