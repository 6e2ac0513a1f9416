"""A provider under test, how it is asked, and what a check of it is.

Questions are real ones: they reach the provider's upstream, and cost what they cost. Each ends within the
patience of the subject, whatever the provider does.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self

import msgspec

from orchestrator.errors import ProviderError
from orchestrator.events import Envelope, Event
from orchestrator.model import Call, Caller, ExtractRequest, SearchRequest
from orchestrator.ports import Provider
from orchestrator.providers.stepping import LoopWatch, Stepped
from orchestrator.quota import Verdict as LimiterVerdict

PATIENCE_S = 20.0
"""chosen: longer than any attempt may take in the chain; who has not answered then never will."""

GRACE_S = 1.0
"""chosen: how long a cancelled call may take to end here. The chain gives it less; a busy machine is slow."""

QUERY = "search gateway"
"""chosen: what is asked where nothing else is said; harmless, short, and found everywhere."""

_log = logging.getLogger("amos.providers")


class Failed(Exception):
    """The provider breaks the rule; the message says how. Any `advice` is better than that of the check."""

    def __init__(self, what: str, advice: str = "") -> None:
        super().__init__(what)
        self.advice = advice


class Skipped(Exception):
    """The rule could not be tried; the message says why."""


class End(msgspec.Struct, frozen=True, kw_only=True):
    """How a call ended: with a value, with an error, or not at all (`is_over` is false).

    `was_cancelled` says that it was, whatever came of it.
    """

    value: Any = None
    error: BaseException | None = None
    is_over: bool = True
    was_cancelled: bool = False
    took_s: float = 0.0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a check. `status` is `passed`, `failed` or `skipped`; `detail` says why."""

    name: str
    rule: str
    status: str
    detail: str = ""
    advice: str = ""
    duration_s: float = 0.0


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One rule of the contract. `asks` is how many questions it puts to the provider at most.

    `advice` is what to do about a failure. `look` raises Failed or Skipped.
    """

    name: str
    rule: str
    advice: str
    look: Callable[[Subject], Awaitable[None]]
    asks: int = 0

    async def on(self, subject: Subject) -> Verdict:
        """Hold the provider against the rule. Raises nothing but CancelledError."""
        begun = time.perf_counter()
        status, detail, advice = "passed", "", self.advice
        try:
            await self.look(subject)
        except Failed as failure:
            status, detail, advice = "failed", str(failure), failure.advice or self.advice
        except Skipped as skip:
            status, detail = "skipped", str(skip)
        except Exception as error:  # noqa: BLE001 - a stranger's attribute may raise anything
            _log.debug("the check %s of a provider", self.name, exc_info=error)
            status, detail = "failed", f"It raised {described(error)}."
        return Verdict(
            name=self.name,
            rule=self.rule,
            status=status,
            detail=detail,
            advice=advice if status == "failed" else "",
            duration_s=time.perf_counter() - begun,
        )


class Unrecorded:
    """A trail of which nothing is kept on disk: a `model.Trail`."""

    verdict: LimiterVerdict | None = None

    def __init__(self) -> None:
        self.execution_id = "00000000-0000-7000-8000-" + secrets.token_hex(6)
        self.trace_id = secrets.token_hex(16)

    @property
    def events(self) -> Sequence[Envelope]:
        """Nothing."""
        return ()

    def record(self, event: Event) -> None:
        """Forget it."""

    def note_text(self, key: str, text: str, request: str = "") -> None:
        """Forget it."""

    async def commit(self) -> None:
        """Nothing to write."""

    def commit_soon(self) -> None:
        """Likewise."""


class Subject:
    """The provider that `make` makes; `make` is called again by checks that need one of their own.

    `query` is a plain question it can answer. `unreachable` makes one whose upstream is not there. As an
    async context manager it closes what it made.
    """

    def __init__(
        self,
        make: Callable[[], Provider],
        *,
        name: str | None = None,
        query: str = QUERY,
        unreachable: Callable[[], Provider] | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.make = make
        self.name = name
        self.query = query
        self.unreachable = unreachable
        self.patience_s = patience_s
        self.held_s = 0.0
        """The longest a step of the provider has held the event loop."""
        self._provider: Provider | None = None
        self._plain: End | None = None
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._provider is not None:
            await self.end_of(self._provider.aclose)

    @property
    def provider(self) -> Provider:
        """The one that all checks share which need none of their own."""
        if self._provider is None:
            self._provider = self.make()
        return self._provider

    async def plain(self) -> End:
        """How a plain question ends; it is put once."""
        async with self._lock:
            if self._plain is None:
                self._plain = await self.search(self.provider, SearchRequest(query=self.query))
            return self._plain

    async def plain_answer(self) -> Any:
        """The answer to a plain question. Raises Skipped if there is none."""
        end = await self.plain()
        if not end.is_over or end.error is not None:
            raise Skipped("A plain question was not answered.")
        return end.value

    async def search(self, provider: Provider, request: SearchRequest, **bounds: float) -> End:
        """How a search ends; `bounds` are those of `end_of`."""
        call = self.call(request, bounds.pop("deadline_s", self.patience_s))
        return await self.end_of(lambda: provider.search(call), **bounds)

    async def extract(self, provider: Provider, request: ExtractRequest) -> End:
        """How an extract ends."""
        call = self.call(request, self.patience_s)
        return await self.end_of(lambda: provider.extract(call))

    def call(self, request: Any, deadline_s: float) -> Call[Any]:
        """A call of the request, with nobody behind it."""
        deadline = asyncio.get_running_loop().time() + deadline_s
        return Call(
            request=request,
            caller=Caller(door="conformance"),
            trail=Unrecorded(),
            deadline=deadline,
            span_id=secrets.token_hex(8),
        )

    async def end_of(
        self, ask: Callable[[], Coroutine[Any, Any, Any]], *, cancelled_after_s: float | None = None
    ) -> End:
        """How a call ends that is cancelled after a time; if it will not have that, it is given up.

        The time is the subject's patience if none is given.
        """
        patience_s = self.patience_s if cancelled_after_s is None else cancelled_after_s

        async def called() -> Any:
            return await ask()

        watch = LoopWatch("under test", self._held)
        stepped = Stepped(called(), watch)

        async def driven() -> Any:
            return await stepped

        begun = time.perf_counter()
        task = asyncio.ensure_future(driven())
        try:
            await asyncio.wait({task}, timeout=patience_s)
            was_cancelled = not task.done()
            if was_cancelled:
                task.cancel()
                await asyncio.wait({task}, timeout=GRACE_S)
        finally:
            watch.end()
            if not task.done():
                stepped.give_up()
                task.cancel()
        return _end(task, took_s=time.perf_counter() - begun, was_cancelled=was_cancelled)

    def _held(self, seconds: float) -> None:
        self.held_s = max(self.held_s, seconds)


def _end(task: asyncio.Task[Any], *, took_s: float, was_cancelled: bool) -> End:
    if not task.done():
        return End(is_over=False, took_s=took_s, was_cancelled=was_cancelled)
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    value = None if error is not None else task.result()
    return End(value=value, error=error, took_s=took_s, was_cancelled=was_cancelled)


def described(error: BaseException) -> str:
    """An error as an author wants to read it: class, reason if it is one of ours, and what it says."""
    reason = f" ({error.reason})" if isinstance(error, ProviderError) else ""
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}{reason}" + (f": {text.rstrip('.')}" if text else "")


def is_ours(error: BaseException | None) -> bool:
    """Whether a call may end with this."""
    return error is None or isinstance(error, ProviderError)
