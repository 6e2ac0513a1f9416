"""A cluster under test, and what its callers were answered."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx

from tests.support.cluster import KEY_KNOWN_S, Cluster
from tests.support.load import Load
from tests.support.processes import AmosProcesses

TRIES = 5
"""How often `undisturbed` asks."""

KEYS: dict[str, dict[str, int]] = {
    "roomy": {"burst": 100_000, "per_minute": 1_000_000, "per_hour": 100_000_000},
    **{f"hundred-{n}": {"burst": 100, "per_minute": 100, "per_hour": 100_000} for n in range(TRIES)},
    **{f"ten-{n}": {"burst": 10, "per_minute": 10, "per_hour": 100_000} for n in range(TRIES)},
}
"""The keys of the callers, by their limits; those of the first concern nobody."""


ResultT = TypeVar("ResultT")


class Deployment:
    """A cluster, and every execution that any of its callers had an answer of (`answered`)."""

    def __init__(self, cluster: Cluster, keys: dict[str, str]) -> None:
        self.cluster = cluster
        self.answered: list[str] = []
        self._keys = keys
        self._client = cluster.caller(keys["roomy"])
        self._loads = 0

    @classmethod
    async def on(cls, cluster: Cluster) -> Deployment:
        """A deployment whose keys are known to every worker of the cluster."""
        keys = {name: await cluster.key(name, **limits) for name, limits in KEYS.items()}
        await asyncio.sleep(KEY_KNOWN_S)
        return cls(cluster, keys)

    async def aclose(self) -> None:
        """Close its own connections."""
        await self._client.aclose()

    async def ask(
        self, query: str, instance: AmosProcesses | None = None, key: str = "roomy"
    ) -> httpx.Response:
        """One search through the proxy, or past it to one instance, over a connection of its own."""
        url = f"{(instance or self.cluster.proxy).base_url}/search"
        headers = {"Authorization": f"Bearer {self._keys[key]}"}
        if instance is not None:
            headers["Connection"] = "close"
        answer = await self._client.post(url, json={"query": query}, headers=headers)
        if answer.status_code == 200:
            self.answered.append(answer.json()["amos"]["execution_id"])
        return answer

    async def ask_at_once(self, query: str, count: int, key: str = "roomy") -> list[httpx.Response]:
        """So many callers at once, through the proxy."""
        return list(await asyncio.gather(*(self.ask(query, key=key) for _ in range(count))))

    async def undisturbed(self, ask: Callable[[int], Awaitable[ResultT]]) -> ResultT:
        """What `ask` (told which try it is) returned the first time that all workers had Redis throughout.

        A worker whose Redis keeps it waiting goes on alone, as it should; on a machine that is busy with
        other things that happens, and then one call cannot be expected. Raises AssertionError if it always
        does.
        """
        lost = -1
        for number in range(TRIES):
            before = self._times_lost()
            result = await ask(number)
            await self.cluster.recorded(self.answered)
            lost = self._times_lost() - before
            if lost == 0:
                return result
            sys.stdout.write(f"Redis was lost {lost} times; once more\n")
        raise AssertionError(f"Redis was lost in each of {TRIES} tries")

    def _times_lost(self) -> int:
        [[count]] = self.cluster.stores.sql("SELECT count(*) FROM events WHERE type = 'amos.store.lost.v1'")
        return int(count)

    def load(self) -> Load:
        """Clients that keep the proxy busy; tell `remember` when they are done."""
        self._loads += 1
        return Load(self.cluster.proxy, self._loads, {"Authorization": f"Bearer {self._keys['roomy']}"})

    def remember(self, load: Load) -> None:
        """Keep what the clients were answered, and write their counts out for whoever looks at a red test."""
        self.answered += load.answered
        sys.stdout.write(f"{load.summary}\n")

    async def unrecorded(self) -> set[str]:
        """What was answered and is not in PostgreSQL exactly once, after the recorders had their time."""
        await self.cluster.recorded(self.answered)
        completed = self.cluster.completed()
        return {execution for execution in self.answered if completed[execution] != 1}
