"""Callers who ask at a steady rate, come what may: half of the questions are new, half were asked before.

The rate does not follow the answers: a gateway that is slow has more calls under way, as in life.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import httpx
import msgspec

from orchestrator.limits import DEADLINE_S

PATIENCE_S = DEADLINE_S + 1.0
"""A caller stops reading after ten seconds, as common MCP clients do: the deadline, and one for the way."""


class Situation(Protocol):
    """Who knows what is down at the moment."""

    def phase(self) -> str:
        """In some words, of few."""

    def trouble(self) -> str:
        """In detail."""


class Asked(msgspec.Struct, kw_only=True):
    """One call as its caller saw it. `at` is monotonic; `status` 0 is a call whose answer never came.

    `phase` and `trouble` are what was down when it began. The rest is what the answer said of itself.
    """

    query: str
    is_new: bool
    phase: str
    trouble: str
    at: float
    duration_s: float = 0.0
    status: int = 0
    execution_id: str = ""
    cache: str = ""
    age_s: float = 0.0
    age_header: str = ""
    results: int = 0
    is_stale: bool = False
    is_degraded: bool = False
    error: str = ""

    @property
    def outcome(self) -> str:
        """How it ended in one word: `fetched`, `cached`, `stale`, `degraded`, `empty`, or the status."""
        if self.status != 200:
            return str(self.status)
        if self.is_degraded:
            return "degraded"
        if not self.results:
            return "empty"
        if self.is_stale:
            return "stale"
        return "cached" if self.cache in ("l1", "l2") else "fetched"


class SteadyLoad:
    """Asks the gateway at `base_url`; `asked` has every call that has ended, in the order of the ends.

    `situation` tells what is down now.
    """

    def __init__(self, base_url: str, seed: int, situation: Situation) -> None:
        self.asked: list[Asked] = []
        self._url = f"{base_url}/search"
        self._seed = seed
        self._situation = situation
        self._chance = random.Random(seed)
        self._known: list[str] = []
        self._number = 0

    @property
    def known(self) -> list[str]:
        """Every question that was asked, in the order of their first time."""
        return list(self._known)

    @property
    def answered(self) -> set[str]:
        """The execution ids of all answers that arrived whole."""
        return {one.execution_id for one in self.asked if one.status == 200}

    @property
    def summary(self) -> str:
        """The counts so far, for a person."""
        return f"{len(self.asked)} calls: {dict(Counter(one.outcome for one in self.asked))}"

    async def run(self, rate_per_s: float, until: asyncio.Event) -> None:
        """Ask until told to stop, then wait for the answers under way."""
        begun = time.monotonic()
        sent = 0
        async with self._client() as client, asyncio.TaskGroup() as calls:
            while not until.is_set():
                calls.create_task(self._ask(client, *self._draw()))
                sent += 1
                await asyncio.sleep(max(0.0, begun + sent / rate_per_s - time.monotonic()))

    async def ask(self, *queries: str, at_once: int = 8) -> list[Asked]:
        """Ask exactly these, so many at once; what became of them, in their order."""
        room = asyncio.Semaphore(at_once)

        async def one(query: str) -> Asked:
            async with room:
                return await self._ask(client, query, is_new=query not in known)

        known = set(self._known)
        async with self._client() as client:
            answers = await asyncio.gather(*(one(query) for query in queries))
        self._known += [query for query in queries if query not in known]
        return answers

    async def ask_steadily(self, queries: Sequence[str], within_s: float) -> list[Asked]:
        """Ask exactly these, spread evenly over a time; what became of them, in their order."""
        begun = time.monotonic()
        calls = []
        async with self._client() as client, asyncio.TaskGroup() as group:
            for number, query in enumerate(queries):
                await asyncio.sleep(max(0.0, begun + number * within_s / len(queries) - time.monotonic()))
                is_new = query not in self._known
                calls.append(group.create_task(self._ask(client, query, is_new=is_new)))
        return [call.result() for call in calls]

    def new(self, count: int) -> list[str]:
        """Questions that nobody has asked."""
        return [self._invent() for _ in range(count)]

    def _draw(self) -> tuple[str, bool]:
        """The next question: in turn a new one, and one of those asked before."""
        if len(self._known) == 0 or self._number % 2 == 0:
            query = self._invent()
            self._known.append(query)
            return query, True
        self._number += 1
        return self._chance.choice(self._known), False

    def _invent(self) -> str:
        self._number += 1
        return f"harbour {self._seed} number {self._number}"

    def _client(self) -> httpx.AsyncClient:
        # A connection for each call, so that all workers get their share of them.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        return httpx.AsyncClient(limits=limits, timeout=httpx.Timeout(PATIENCE_S), trust_env=False)

    async def _ask(self, client: httpx.AsyncClient, query: str, is_new: bool) -> Asked:
        phase, trouble = self._situation.phase(), self._situation.trouble()
        asked = Asked(query=query, is_new=is_new, phase=phase, trouble=trouble, at=time.monotonic())
        try:
            async with asyncio.timeout(PATIENCE_S):
                answer = await client.post(self._url, json={"query": query})
        except (httpx.TransportError, TimeoutError) as error:
            asked.error = type(error).__name__
        else:
            _read(asked, answer)
        asked.duration_s = time.monotonic() - asked.at
        self.asked.append(asked)
        return asked


def _read(asked: Asked, answer: httpx.Response) -> None:
    """Take down what an answer says."""
    content = answer.json()
    asked.status = answer.status_code
    asked.execution_id = answer.headers.get("x-request-id", "")
    if answer.status_code != 200:
        asked.error = str(content["detail"]["error"])
        return
    about = content["amos"]
    assert about["execution_id"] == asked.execution_id
    asked.cache = about["cache"]
    asked.age_s = about["age_s"]
    asked.age_header = answer.headers.get("age", "")
    asked.is_stale = about.get("stale", False)
    asked.is_degraded = about.get("degraded", False)
    asked.results = len(content["results"])
