"""An extract is one call with many pages: each has its own cache entry and flight, the rest is read together.

`PerUrl` makes the service of an extract out of the service of one page. `PageBatch` does the reverse at the
inner end: the pages of one execution that nobody had are put to the provider chain in one call, because
providers bill and limit by the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from orchestrator import limits
from orchestrator.errors import GatewayError, PageUnreadable, SearchFailed
from orchestrator.events import Cost
from orchestrator.history import has_ended, spent
from orchestrator.model import (
    Call,
    ExtractAnswer,
    ExtractRequest,
    Found,
    Page,
    PageFailure,
    Response,
)
from orchestrator.patience import within
from orchestrator.projections.executions import attempts
from orchestrator.service import Service

BATCH_WINDOW_S = 0.005
"""chosen: pages of one execution reach the batch within a few milliseconds of each other (cache tiers and
leases are asked for in between), and each waits so long for the next; against the seconds a page takes to
read the sum for all pages is nothing."""


PAGES_WAY_BACK_S = 0.5 * limits.WAY_BACK_S
"""chosen: so long before the deadline nobody waits for a page any more. Its attempts have ended by then, and
old pages are given; what is left is another call's flight, and pages that were read are not lost for that."""


class PerUrl:
    """The service of an extract: every page by itself, one answer of all that came in time."""

    def __init__(self, page_service: Service[ExtractRequest, Response]) -> None:
        self._page_service = page_service

    async def __call__(self, call: Call[ExtractRequest]) -> Response:
        """All pages that could be read, and the others with a reason.

        Raises what kept *every* page from us, TimeoutError if it was that.
        """
        urls = tuple(dict.fromkeys(call.request.urls))
        outcomes = await asyncio.gather(
            *(self._page(_single(call, url)) for url in urls), return_exceptions=True
        )
        pages: list[Response] = []
        failures: list[PageFailure] = []
        for url, outcome in zip(urls, outcomes, strict=True):
            if isinstance(outcome, Response):
                pages.append(outcome)
            elif isinstance(outcome, GatewayError):
                failures.append(PageFailure(url=url, error=outcome.message))
            elif isinstance(outcome, TimeoutError):
                failures.append(PageFailure(url=url, error="The page was not there in time."))
            else:
                raise outcome
        fatal = next(
            (o for o in outcomes if isinstance(o, Exception) and not isinstance(o, PageUnreadable)), None
        )
        if fatal is not None and (not pages or not isinstance(fatal, SearchFailed | TimeoutError)):
            raise fatal
        return _merged(call, pages, failures)

    async def _page(self, call: Call[ExtractRequest]) -> Response:
        # The page's work is made here: made outside it would be left over by a task that is cancelled before
        # its first step.
        return await within(call.deadline - PAGES_WAY_BACK_S, self._page_service(call))


def _single(call: Call[ExtractRequest], url: str) -> Call[ExtractRequest]:
    return msgspec.structs.replace(call, request=msgspec.structs.replace(call.request, urls=(url,)))


def _merged(
    call: Call[ExtractRequest], pages: Sequence[Response], failures: Sequence[PageFailure]
) -> Response:
    """One answer of all pages.

    What was tried and what it cost is read from the call's own facts, because a page nobody could read may
    have cost as much as any other; attempts of a flight this call has joined come with the page.
    """
    members = b",".join(b"{" + page.fragment + b"}" for page in pages)
    fragment = b'"results":[' + members + b'],"failed_results":' + msgspec.json.encode(failures)
    caches = [page.cache for page in pages] + ["miss"] * bool(failures)
    joined = (attempt for page in pages for attempt in page.attempts)
    return Response(
        fragment=fragment,
        result_count=len(pages),
        provider="+".join(dict.fromkeys(page.provider for page in pages)),
        cache=_cache_of(caches),
        age_s=max((page.age_s for page in pages), default=0.0),
        ttl_s=min((page.ttl_s for page in pages), default=0.0),
        is_stale=any(page.is_stale for page in pages),
        is_fallback=any(page.is_fallback for page in pages),
        cost=spent(call.trail.events),
        attempts=tuple(dict.fromkeys((*attempts(call.trail.events), *joined))),
        unsupported=tuple(dict.fromkeys(name for page in pages for name in page.unsupported)),
        notes=tuple(dict.fromkeys(note for page in pages for note in page.notes)),
    )


def _cache_of(caches: Sequence[str]) -> str:
    """How the cache served the whole: `mixed` if a provider was asked for some pages only.

    If none was asked, it is how the page was served that had the longest way.
    """
    if "miss" in caches:
        return "miss" if set(caches) == {"miss"} else "mixed"
    return next(way for way in ("collapsed", "l2", "l1") if way in caches)


class PageBatch:
    """Gathers the pages that one execution still needs and puts them to the chain in one call."""

    def __init__(self, chain: Service[ExtractRequest, tuple[Found[ExtractAnswer], ...]]) -> None:
        self._chain = chain
        self._waiting: dict[str, _Group] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, call: Call[ExtractRequest]) -> Found[Page]:
        """One page. Raises PageUnreadable for this page alone, or what the whole chain raised."""
        execution_id = call.trail.execution_id
        group = self._waiting.get(execution_id)
        loop = asyncio.get_running_loop()
        departure = loop.call_later(BATCH_WINDOW_S, self._depart, execution_id)
        if group is None:
            group = self._waiting[execution_id] = _Group(call, departure, {})
        else:
            group.departure.cancel()
            group.departure = departure
            if group.call.is_refresh:
                group.call = call  # The time of pages that somebody waits for is that of all.
        (url,) = call.request.urls
        seat = group.seats.setdefault(url, loop.create_future())
        return await asyncio.shield(seat)

    def _depart(self, execution_id: str) -> None:
        group = self._waiting.pop(execution_id)
        task = asyncio.create_task(self._read(group), name=f"pages {execution_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self, group: _Group) -> None:
        request = msgspec.structs.replace(group.call.request, urls=tuple(group.seats))
        try:
            async with asyncio.timeout_at(group.call.deadline):
                found = await self._chain(msgspec.structs.replace(group.call, request=request))
        except Exception as error:  # noqa: BLE001 - handed to every page that waits; nothing is swallowed
            _seat_all(group, {}, error)
        else:
            _seat_all(group, _by_url(found), PageUnreadable("No provider could read the page."))
        finally:
            if has_ended(group.call.trail.events):
                # The caller and the flights of the pages have ended before: nobody else writes these facts.
                group.call.trail.commit_soon()

    async def aclose(self) -> None:
        """Wait for the batches under way; their deadlines bound the wait."""
        while self._tasks:
            await asyncio.wait(self._tasks)


class _Group(msgspec.Struct):
    call: Call[ExtractRequest]
    departure: asyncio.TimerHandle
    seats: dict[str, asyncio.Future[Found[Page]]]


def _seat_all(
    group: _Group, outcomes: Mapping[str, Found[Page] | PageUnreadable], otherwise: Exception
) -> None:
    """Give every page that waits its outcome."""
    for url, seat in group.seats.items():
        if seat.done():
            continue
        outcome = outcomes.get(url, otherwise)
        if isinstance(outcome, Found):
            seat.set_result(outcome)
        else:
            seat.set_exception(outcome)
            seat.exception()  # Seen here: the flight of the page may have ended at its deadline.


def _by_url(found: Sequence[Found[ExtractAnswer]]) -> dict[str, Found[Page] | PageUnreadable]:
    """What became of each URL: its page from the first provider that had it, else the last reason given."""
    outcomes: dict[str, Found[Page] | PageUnreadable] = {}
    for one in found:
        for failure in one.answer.failures:
            if not isinstance(outcomes.get(failure.url), Found):
                outcomes[failure.url] = PageUnreadable(failure.error)
        costs = _split(one.cost, len(one.answer.pages))
        for page, cost in zip(one.answer.pages, costs, strict=True):
            outcomes[page.url] = Found(
                answer=page,
                provider=one.provider,
                cost=cost,
                unsupported=one.unsupported,
                attempts=one.attempts,
                is_fallback=one.is_fallback,
            )
    return outcomes


def _split(cost: Cost, count: int) -> list[Cost]:
    """The cost in `count` parts whose sum is the cost, to the last micro-dollar."""
    if not count:
        return []
    share, rest = divmod(cost.usd_micros, count)
    amount = cost.amount / count
    return [
        Cost(amount=amount, unit=cost.unit, usd_micros=share + (1 if position < rest else 0))
        for position in range(count)
    ]
