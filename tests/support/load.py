"""Clients that keep AMOS busy, and remember every answer that arrived whole.

What they ask follows from the seed; how far each of them gets does not.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol, Self

import httpx

from tests.support.processes import until

CLIENTS = 8
"""Enough to have calls in all stages of the pipeline whenever something dies."""

TIMEOUT_S = 15.0
"""Longer than the deadline of a search: a client that gives up before is no witness."""

POPULAR = ("harbour", "tide tables", "lighthouse", "fog signals", "pilot boats")
"""Queries that are asked again and again: hits, after the first time."""

QUIET = "quiet"
"""A query with this word finds nothing at Tavily, if the simulator is told so."""

ENOUGH_S = 30.0
"""How long `answer_more` waits."""


class Target(Protocol):
    """Whom to ask; the address may change when it is started again."""

    base_url: str


class Load:
    """An async context manager: clients ask from its beginning to its end.

    `answered` are the execution ids of all 200s received whole, `refused` counts the other statuses, and
    `bodies` has the last body of each; `broken` counts calls whose connection was cut or never made. All
    calls have these `headers`.
    """

    def __init__(self, amos: Target, seed: int, headers: Mapping[str, str] | None = None) -> None:
        self.answered = set[str]()
        self.caches: Counter[str] = Counter()
        self.refused: Counter[int] = Counter()
        self.bodies: dict[int, Any] = {}
        self.broken = 0
        self._amos = amos
        self._seed = seed
        self._headers = dict(headers or {})
        self._stopping = asyncio.Event()
        self._clients: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._clients = [asyncio.create_task(self._client(number)) for number in range(CLIENTS)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let every client finish the call it is in."""
        self._stopping.set()
        await asyncio.gather(*self._clients)

    async def answer_more(self, count: int) -> None:
        """Wait until `count` more calls are answered than now. Raises TimeoutError."""
        goal = len(self.answered) + count
        await until(
            lambda: len(self.answered) >= goal,
            ENOUGH_S,
            lambda: f"{goal - len(self.answered)} answers of {count} did not come; {self.summary}",
        )

    @property
    def summary(self) -> str:
        """The counts so far, for a person."""
        return (
            f"{len(self.answered)} answered {dict(self.caches)}, refused {dict(self.refused)} {self.bodies}, "
            f"{self.broken} broken"
        )

    async def _client(self, number: int) -> None:
        chance = random.Random(f"{self._seed}/{number}")
        turn = 0
        async with httpx.AsyncClient(headers=self._headers, timeout=TIMEOUT_S, trust_env=False) as client:
            while not self._stopping.is_set():
                turn += 1
                path, body = _question(chance, f"{self._seed} {number} {turn}")
                await self._ask(client, path, body)

    async def _ask(self, client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
        try:
            answer = await client.post(self._amos.base_url + path, json=body)
        except httpx.TransportError:
            self.broken += 1
            await asyncio.sleep(0.05)
            return
        content = answer.json()
        if answer.status_code == 200:
            execution_id = content["amos"]["execution_id"]
            assert answer.headers["x-request-id"] == execution_id
            self.answered.add(execution_id)
            self.caches[content["amos"]["cache"]] += 1
        else:
            self.refused[answer.status_code] += 1
            self.bodies[answer.status_code] = content
            await asyncio.sleep(0.01)


def _question(chance: random.Random, unique: str) -> tuple[str, dict[str, Any]]:
    """Half of the questions are popular; of the others some find nothing at first, some read pages."""
    draw = chance.random()
    if draw < 0.5:
        return "/search", {"query": chance.choice(POPULAR)}
    if draw < 0.8:
        return "/search", {"query": f"boats {unique}"}
    if draw < 0.9:
        return "/search", {"query": f"{QUIET} {unique}"}
    pages = [f"https://{chance.choice(POPULAR).replace(' ', '-')}.example/{unique.replace(' ', '/')}"]
    if draw > 0.95:
        pages.append("https://harbour.example/popular")
    return "/extract", {"urls": pages}
