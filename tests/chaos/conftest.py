"""An installation of AMOS in processes, with simulated upstreams that outlive it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.support.audit import audit, spans_of
from tests.support.load import QUIET, Load
from tests.support.processes import AmosProcesses, UpstreamProcess, upstream

DELAY_MS = 10.0
"""How long a simulated provider takes: long enough to be killed in."""


class Site:
    """One installation and its upstreams; `settled` ends and checks it."""

    def __init__(
        self, tavily: UpstreamProcess, jina: UpstreamProcess, data_dir: Path, **settings: str
    ) -> None:
        self.tavily = tavily
        self.jina = jina
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

    async def spans(self) -> list[str]:
        """The span ids of every call that reached an upstream."""
        return spans_of([*await self.tavily.calls(), *await self.jina.calls()])

    async def settled(self, *loads: Load) -> list[str]:
        """End AMOS in good order; then every fault of the record and of the journal, none if all is well."""
        status = await self.amos.stop()
        await self.amos.gone(1.0)
        answered = set().union(*(load.answered for load in loads))
        faults = audit(self.amos.database, answered, await self.spans())
        if status != 0:
            faults.append(f"amos serve ended with status {status}")
        if left := sorted(path.name for path in self.amos.journal.glob("*.seg")):
            faults.append(f"the journal still holds {left}")
        for load in loads:
            print(load.summary)
        if faults:
            print(self.amos.log)
        return faults


MakeSite = Callable[..., Site]


@pytest.fixture
async def make_site(tmp_path: Path) -> AsyncIterator[MakeSite]:
    """Makes the installation of a test; `start` it yourself. Nothing of it survives the test."""
    made: list[Site] = []
    async with upstream("tavily_simulator", DELAY_MS) as tavily, upstream("jina_simulator", DELAY_MS) as jina:
        await tavily.obey({"when": {QUIET: {"kind": "variant", "variant_name": "empty"}}})

        def make(**settings: str) -> Site:
            made.append(Site(tavily, jina, tmp_path / "data", **settings))
            return made[-1]

        yield make
        for site in made:
            await site.amos.kill_all()


@pytest.fixture
async def site(make_site: MakeSite) -> Site:
    """A started installation with default settings."""
    made = make_site()
    await made.amos.start()
    return made
