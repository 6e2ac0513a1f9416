"""An installation of AMOS in processes, between clients and simulated upstreams that outlive it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from tests.support.audit import audit, spans_of
from tests.support.processes import AmosProcesses, UpstreamProcess


class Witness(Protocol):
    """Who can tell which executions were answered, and has a sentence about all of them."""

    @property
    def answered(self) -> set[str]:
        """The execution ids of all answers that arrived whole."""

    @property
    def summary(self) -> str:
        """The counts, for a person."""


class Installation:
    """AMOS on one data folder, with Tavily and Jina as its providers; `settled` ends and checks it."""

    def __init__(
        self, tavily: UpstreamProcess, jina: UpstreamProcess, data_dir: Path, **settings: str
    ) -> None:
        self._upstreams = (tavily, jina)
        self.amos = AmosProcesses(
            data_dir,
            {
                "AMOS_PROVIDERS": "tavily,jina",
                "TAVILY_API_KEY": "tvly-simulated",
                "JINA_API_KEY": "jina_simulated",
                "AMOS_TAVILY_BASE_URL": tavily.base_url,
                "AMOS_JINA_SEARCH_URL": f"{jina.base_url}/s",
                "AMOS_JINA_READER_URL": f"{jina.base_url}/r",
                **settings,
            },
        )

    async def settled(self, *loads: Witness, torn_spans: Iterable[str] = ()) -> list[str]:
        """End AMOS in good order; then every fault of the record and of the journal, none if all is well.

        `torn_spans` are those whose intents the test itself has destroyed. What loads and processes had to
        say is written out for whoever looks at a red test.
        """
        status = await self.amos.stop()
        await self.amos.gone(1.0)
        calls = [call for upstream in self._upstreams for call in upstream.calls()]
        answered: set[str] = set().union(*(load.answered for load in loads))
        faults = audit(self.amos.database, answered, set(spans_of(calls)) - set(torn_spans))
        if status != 0:
            faults.append(f"amos serve ended with status {status}")
        if left := sorted(path.name for path in self.amos.journal.glob("*.seg")):
            faults.append(f"the journal still holds {left}")
        summaries = "\n".join(load.summary for load in loads)
        sys.stdout.write(f"{summaries}\n{len(calls)} calls reached an upstream\n{self.amos.log}")
        return faults
