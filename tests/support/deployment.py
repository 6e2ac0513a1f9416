"""A cluster under test, and what its callers were answered."""

from __future__ import annotations

import sys

from tests.support.cluster import Cluster
from tests.support.load import Load


class Deployment:
    """A cluster, and every execution that any of its callers had an answer of."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.answered: list[str] = []
        self._loads = 0

    async def load(self) -> Load:
        """Clients with a key of their own that keep the proxy busy."""
        self._loads += 1
        key = await self.cluster.key(
            f"load-{self._loads}", burst=100_000, per_minute=1_000_000, per_hour=100_000_000
        )
        return Load(self.cluster.proxy, self._loads, {"Authorization": f"Bearer {key}"})

    def remember(self, load: Load) -> None:
        """Keep what the clients were answered, and write their counts out for whoever looks at a red test."""
        self.answered += load.answered
        sys.stdout.write(f"{load.summary}\n")
