"""A plug-in behind a guard: whatever it does, a call to it ends, in an answer or in one of our errors.

A plug-in is a stranger's code in our process. The stages around every provider deal with one that is slow or
says that it failed; here is what they cannot deal with:

    it raises what it likes            ProviderProtocolError `plugin_error`, the traceback in the log
    its answer is not one              ProviderProtocolError `bad_shape` or `too_large` (answer_check.py)
    it swallows its cancellation       it is given `GRACE_S`, then closed, and the call ends without it
    and cannot even be closed          `ABANDONED_MAX` such calls may be left behind, then it is not called
    it holds the event loop            ProviderBlockedLoop, a line in the log, and health says so

It is no sandbox: a plug-in may read our memory, use it up, or start threads. What AMOS brings itself is held
to the same rules by tests, and runs without a guard.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import math
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from orchestrator.errors import ProviderError, ProviderProtocolError
from orchestrator.events import FREE, Cost
from orchestrator.facts import ProviderBlockedLoop, ProviderCallAbandoned
from orchestrator.model import (
    Call,
    ExtractAnswer,
    ExtractRequest,
    Found,
    RequestT,
    SearchAnswer,
    SearchRequest,
)
from orchestrator.ports import Clock, FactSink, Provider
from orchestrator.providers.answer_check import GivenT, checked
from orchestrator.providers.soundness import cost_fault, is_sound
from orchestrator.providers.stepping import LoopWatch, Stepped

GRACE_S = 0.1
"""chosen: how long a cancelled call may take to release what it holds. Closing a connection takes a
millisecond; what a caller waits for is late by this at most (`limits.WAY_BACK_S`)."""

ABANDONED_MAX = 8
"""chosen: calls of one plug-in that could be neither cancelled nor closed; beyond it the plug-in is not
called until one of them has ended, so that what leaks is bounded."""

BLOCKED_S = 0.1
"""chosen: everybody waits while a plug-in holds the loop. A machine that is busy keeps a process from running
for some tens of milliseconds, and that is not the plug-in's doing."""

REPORTED_EVERY_S = 60.0
"""chosen: a plug-in that blocks does so with every call; once a minute is enough to know."""

COMPLAINT_S = 900.0
"""chosen: health speaks of the last 15 minutes, of this as of other failures."""

CLOSING_S = 5.0
"""chosen: more than closing connections in good order takes, and less than a process has to end."""

PLUGIN_ERROR = "plugin_error"
"""The `reason` of a failure that is a bug of the plug-in."""

_log = logging.getLogger("amos.providers")


class Complaint(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider did that no provider may, in a sentence; `since` is when it last did, epoch seconds."""

    since: float
    detail: str


class Guarded:
    """The provider of a plug-in, as the chain calls it. `provider` must have no `flaw`.

    `facts` is told when it blocks or leaves calls behind; `complaint` is what health says of it. `made_in_s`
    is how long its making has held the loop.
    """

    def __init__(
        self, provider: Provider, clock: Clock, facts: FactSink | None = None, *, made_in_s: float = 0.0
    ) -> None:
        self.provider = provider
        self.name = provider.name
        self.operations = provider.operations
        self.schemes = provider.schemes
        self.timing = provider.timing
        self._clock = clock
        self._facts = facts
        self._watch = LoopWatch(self.name, self._held)
        self._abandoned: set[asyncio.Task[Any]] = set()
        self._complaint: Complaint | None = None
        self._told_at: dict[str, float] = {}
        self._held(made_in_s)

    @property
    def complaint(self) -> Complaint | None:
        """What it did lately that it may not; `None` if nothing."""
        complaint = self._complaint
        return complaint if complaint and self._clock.now() - complaint.since < COMPLAINT_S else None

    @property
    def abandoned(self) -> int:
        """How many of its calls go on although nobody waits for them."""
        return len(self._abandoned)

    def search_estimate(self, request: SearchRequest) -> Cost:
        """Its estimate; free where it has none that can be used, and then `search` fails without a call."""
        return self._estimate(self.provider.search_estimate, request)[0]

    def extract_estimate(self, request: ExtractRequest) -> Cost:
        """Likewise."""
        return self._estimate(self.provider.extract_estimate, request)[0]

    async def search(self, call: Call[SearchRequest]) -> Found[SearchAnswer]:
        """Search once. Raises ProviderError and nothing else."""
        self._check_estimate(self.provider.search_estimate, call.request)
        found = await self._asked(lambda: self.provider.search(_lean(call)))
        return self._checked(found, SearchAnswer)

    async def extract(self, call: Call[ExtractRequest]) -> Found[ExtractAnswer]:
        """Read the pages once. Raises ProviderError and nothing else."""
        self._check_estimate(self.provider.extract_estimate, call.request)
        found = await self._asked(lambda: self.provider.extract(_lean(call)))
        return self._checked(found, ExtractAnswer)

    async def aclose(self) -> None:
        """Close it, within `CLOSING_S`, and give up what it left behind. Safe to call twice."""
        abandonment = Abandonment()
        closing = asyncio.ensure_future(self._driven(self.provider.aclose, abandonment))
        try:
            await asyncio.wait({closing}, timeout=CLOSING_S)
        finally:
            self._watch.end()
            is_late = not closing.done()
            abandonment.give_up()
            for task in (closing, *self._abandoned):
                task.cancel()
        if is_late:
            _log.error("the provider %s could not be closed within %.0f s", self.name, CLOSING_S)
        elif not closing.cancelled() and (error := closing.exception()) is not None:
            _log.error("the provider %s could not be closed", self.name, exc_info=error)

    # --- calling --------------------------------------------------------------------------------------------

    async def _asked(self, ask: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """What it gave, whatever that is. Raises ProviderError, and CancelledError if we are cancelled."""
        if len(self._abandoned) >= ABANDONED_MAX:
            raise ProviderProtocolError(
                f"{self.name} has {ABANDONED_MAX} calls under way that cannot be ended; it is not called.",
                provider=self.name,
                reason="would_not_end",
                assumed=FREE,
            )
        abandonment = Abandonment()
        task = asyncio.ensure_future(self._driven(ask, abandonment))
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            await self._end(task, abandonment)
            raise
        return self._result(task)

    async def _driven(self, ask: Callable[[], Coroutine[Any, Any, Any]], abandonment: Abandonment) -> Any:
        async def called() -> Any:
            return await ask()

        abandonment.stepped = Stepped(called(), self._watch)
        return await abandonment.stepped

    async def _end(self, task: asyncio.Task[Any], abandonment: Abandonment) -> None:
        """Cancel the call; if it will not have that, go on without it."""
        task.cancel()
        try:
            await asyncio.wait({task}, timeout=GRACE_S)
        finally:
            if task.done():
                _noted(task)
            else:
                self._abandon(task, abandonment)

    def _abandon(self, task: asyncio.Task[Any], abandonment: Abandonment) -> None:
        abandonment.give_up()
        task.cancel()
        self._abandoned.add(task)
        task.add_done_callback(self._abandoned.discard)
        task.add_done_callback(_noted)
        detail = f"It did not end when it was cancelled, and had to be left behind after {GRACE_S} s."
        self._complaint = Complaint(since=self._clock.now(), detail=detail)
        if self._is_news("abandoned"):
            _log.error("the provider %s swallows cancellations: its call was abandoned", self.name)
            self._record(ProviderCallAbandoned(provider=self.name, under_way=len(self._abandoned)))

    def _result(self, task: asyncio.Task[Any]) -> Any:
        """What the call gave. Raises ProviderError if it did not end well."""
        if task.cancelled():
            raise self._broken("cancelled itself", None)
        error = task.exception()
        if error is None:
            return task.result()
        if isinstance(error, ProviderError) and is_sound(error, self.name):
            raise error
        raise self._broken(f"raised {type(error).__name__}", error) from error

    def _checked(self, found: object, answer_type: type[GivenT]) -> Found[GivenT]:
        try:
            return checked(found, answer_type, self.name)
        except ProviderProtocolError as error:
            if self._is_news("answer"):
                _log.error("%s", error.message)
            raise

    # --- estimates ------------------------------------------------------------------------------------------

    def _estimate(self, estimate: Callable[[RequestT], Any], request: RequestT) -> tuple[Cost, str]:
        """The estimate, free if it is none, and what is wrong with it."""
        self._watch.entered()
        try:
            cost = estimate(request)
        # A cancellation too: nobody waits here, so it is none of ours.
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001 - a stranger's code
            if self._is_news("estimate"):
                _log.error("the provider %s could not estimate a cost", self.name, exc_info=error)
            return FREE, f"{type(error).__name__} was raised"
        finally:
            self._watch.left()
        fault = cost_fault(cost)
        return (FREE, fault) if fault else (cost, "")

    def _check_estimate(self, estimate: Callable[[RequestT], Any], request: RequestT) -> None:
        """What cannot be priced is not called: it might be dear."""
        _, fault = self._estimate(estimate, request)
        if fault:
            raise ProviderProtocolError(
                f"{self.name} could not say what the call would cost: {fault}.",
                provider=self.name,
                reason="bad_estimate",
                assumed=FREE,
            )

    # --- telling --------------------------------------------------------------------------------------------

    def _held(self, seconds: float) -> None:
        if seconds < BLOCKED_S:
            return
        detail = f"It held the event loop for {seconds:.1f} s, in which nobody else was served."
        self._complaint = Complaint(since=self._clock.now(), detail=detail)
        if self._is_news("blocked"):
            _log.error(
                "the provider %s held the event loop for %.2f s; it must await, or use a thread",
                self.name,
                seconds,
            )
            self._record(ProviderBlockedLoop(provider=self.name, duration_s=seconds))

    def _broken(self, what: str, error: BaseException | None) -> ProviderProtocolError:
        _log.error("the provider %s %s, which is a bug in it", self.name, what, exc_info=error)
        return ProviderProtocolError(
            f"{self.name} {what}: a fault of the plug-in.", provider=self.name, reason=PLUGIN_ERROR
        )

    def _is_news(self, what: str) -> bool:
        now = self._clock.monotonic()
        if now - self._told_at.get(what, -math.inf) < REPORTED_EVERY_S:
            return False
        self._told_at[what] = now
        return True

    def _record(self, fact: ProviderBlockedLoop | ProviderCallAbandoned) -> None:
        if self._facts is not None:
            self._facts.record_fact(f"provider:{self.name}", fact)


class Abandonment:
    """Whether a call was given up, before or after its coroutine has begun."""

    stepped: Stepped[Any] | None = None

    def give_up(self) -> None:
        """Close the coroutine instead of asking it to end."""
        if self.stepped is not None:
            self.stepped.give_up()


def _noted(task: asyncio.Task[Any]) -> None:
    """Take note of how a call ended that nobody waits for, so that asyncio does not complain."""
    if not task.cancelled():
        task.exception()


def _lean(call: Call[RequestT]) -> Call[RequestT]:
    """The call without what is none of a plug-in's business, and with nothing in it that others hold."""
    caller = msgspec.structs.replace(call.caller, credential=None, address="")
    request: Any = call.request
    if request.extra:
        request = msgspec.structs.replace(request, extra=copy.deepcopy(request.extra))
    return msgspec.structs.replace(call, caller=caller, request=request)
