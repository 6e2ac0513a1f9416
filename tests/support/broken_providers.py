"""One broken provider for each check of the conformance kit: it breaks that rule and no other."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import msgspec

from orchestrator.errors import ProviderRejected, ProviderUnavailable
from orchestrator.events import Cost
from orchestrator.model import Call, ExtractRequest, SearchRequest
from orchestrator.providers.conformance.subject import QUERY
from tests.support.rogue_provider import Honest

BACKGROUND: set[asyncio.Task[Any]] = set()
"""The tasks they left behind, for a test to end."""


def _is_plain(call: Call[SearchRequest]) -> bool:
    return call.request.query == QUERY and call.request.search_depth is None


def _start(seconds: float = 60.0) -> None:
    BACKGROUND.add(asyncio.ensure_future(asyncio.sleep(seconds)))


class ShoutingName(Honest):
    """Its name is none."""

    def __init__(self) -> None:
        super().__init__("Rogue")


class Browsing(Honest):
    """Offers what there is not."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = frozenset({"search", "browse"})


class ShoutingScheme(Honest):
    """Names a scheme as no URL has it."""

    def __init__(self) -> None:
        super().__init__()
        self.schemes = frozenset({"https", "HTTP"})


class Timeless(Honest):
    """Has times that are none."""

    def __init__(self) -> None:
        super().__init__()
        self.timing: Any = "fast"


class Moody(Honest):
    """Prices a request differently each time."""

    prices = 0

    def search_estimate(self, request: SearchRequest) -> Cost:
        """A little more each time."""
        self.prices += 1
        return Cost(amount=self.prices, unit="credits")


class Crashing(Honest):
    """Raises its bugs."""

    async def search(self, call: Call[SearchRequest]) -> Any:
        """A bug."""
        raise KeyError("results")


class Textless(Honest):
    """Has no text where one belongs."""

    async def search(self, call: Call[SearchRequest]) -> Any:
        """A plain answer with a hole."""
        found = await super().search(call)
        return _with(found, content=None) if _is_plain(call) else found


class Rising(Honest):
    """Has the best result last."""

    async def search(self, call: Call[SearchRequest]) -> Any:
        """The answer, upside down."""
        found = await super().search(call)
        answer = msgspec.structs.replace(found.answer, results=found.answer.results[::-1])
        return msgspec.structs.replace(found, answer=answer)


class Relative(Honest):
    """Has URLs that lead nowhere."""

    async def search(self, call: Call[SearchRequest]) -> Any:
        """The answer with half a URL."""
        return _with(await super().search(call), url="/wiki/Harbour")


class Dear(Honest):
    """Bills what it calls free."""

    async def search(self, call: Call[SearchRequest]) -> Any:
        """The answer, and a bill."""
        return msgspec.structs.replace(await super().search(call), cost=Cost(amount=1.0, unit="credits"))


class EmptyHanded(Honest):
    """Fails where there is nothing to find."""

    async def search(self, call: Call[SearchRequest]) -> Any:
        """No answer to a word that nobody uses."""
        if call.request.query.startswith("zq"):
            raise ProviderRejected("nothing", provider=self.name, reason="http_404")
        return await super().search(call)


class Strict(Honest):
    """Refuses a request with a field it does not know."""

    async def search(self, call: Call[SearchRequest]) -> Any:
        """No answer to more than it knows."""
        if call.request.extra:
            raise ProviderRejected("unknown field", provider=self.name, reason="bad_request")
        return await super().search(call)


class Ascii(Honest):
    """Knows no letters but those of English."""

    async def search(self, call: Call[SearchRequest]) -> Any:
        """No answer to other people."""
        call.request.query.encode("ascii")
        return await super().search(call)


class Reading(Honest):
    """Raises something of its own for an extract it does not offer."""

    async def extract(self, call: Call[ExtractRequest]) -> Any:
        """A bug."""
        raise NotImplementedError


class Unplugged(Honest):
    """Raises what its client raises."""

    async def search(self, call: Call[SearchRequest]) -> Any:
        """As it is."""
        raise ConnectionRefusedError(111, "refused")


class Lonely(Honest):
    """Can do one thing at a time."""

    busy = False

    async def search(self, call: Call[SearchRequest]) -> Any:
        """No answer while another is on its way."""
        if self.busy:
            raise ProviderUnavailable("busy", provider=self.name, reason="busy_line")
        self.busy = True
        try:
            return await super().search(call)
        finally:
            self.busy = False


class Deaf(Honest):
    """Answers although it was called off."""

    async def search(self, call: Call[SearchRequest]) -> Any:
        """Swallow the cancellation and go on."""
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.02)
        return self.answer(call.request)


class Littering(Honest):
    """Leaves a task behind when it is called off."""

    async def search(self, call: Call[SearchRequest]) -> Any:
        """Start something, and forget it."""
        try:
            return await super().search(call)
        except asyncio.CancelledError:
            _start()
            raise


class Holding(Honest):
    """Holds the event loop."""

    async def search(self, call: Call[SearchRequest]) -> Any:
        """Compute for too long."""
        if _is_plain(call):
            _compute()
        return await super().search(call)


def _compute() -> None:
    time.sleep(0.08)


class Brooding(Honest):
    """Has a task that outlives it."""

    async def search(self, call: Call[SearchRequest]) -> Any:
        """Answer, and go on with something else."""
        await asyncio.sleep(0.02)
        _start()
        return self.answer(call.request)


class Clinging(Honest):
    """Cannot be closed twice."""

    is_closed = False

    async def aclose(self) -> None:
        """Fail the second time."""
        if self.is_closed:
            raise RuntimeError("already closed")
        self.is_closed = True


def _with(found: Any, **fields: Any) -> Any:
    first, *others = found.answer.results
    results = (msgspec.structs.replace(first, **fields), *others)
    return msgspec.structs.replace(found, answer=msgspec.structs.replace(found.answer, results=results))


BROKEN: dict[str, Callable[[], Honest]] = {
    "name": ShoutingName,
    "operations": Browsing,
    "schemes": ShoutingScheme,
    "timing": Timeless,
    "estimates": Moody,
    "errors": Crashing,
    "answer": Textless,
    "scores": Rising,
    "urls": Relative,
    "cost": Dear,
    "nothing": EmptyHanded,
    "options": Strict,
    "queries": Ascii,
    "extract": Reading,
    "outage": Unplugged,
    "concurrency": Lonely,
    "deadline": Deaf,
    "release": Littering,
    "loop": Holding,
    "tasks": Brooding,
    "closing": Clinging,
}
"""The provider that fails a check, by the name of the check; that of `outage` has no upstream."""
