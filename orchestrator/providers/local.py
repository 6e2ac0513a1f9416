"""The provider `local`: searches folders of Markdown, text and HTML, without any network.

It is a search of private documents and the floor of the chain when the web is out of reach. What it answers
with are passages: a result's title names document and heading, its URL (`file:`) leads to the heading.

    local.py            the provider: what is asked, answered, and when the folders are looked at again
    local_query.py      words typed → FTS5 expression; passage → snippet
    local_index.py      what is known and found: ranking by BM25
    local_database.py   the SQLite file: schema, connecting, beginning anew
    local_thread.py     a thread and its connection
    local_scan.py       folders → index, incrementally
    local_files.py      which files, and never others
    local_documents.py, local_html.py    a file → its passages
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from urllib.parse import quote

from orchestrator.errors import ProviderError, ProviderRejected
from orchestrator.events import FREE, Cost
from orchestrator.model import (
    Call,
    ExtractAnswer,
    ExtractRequest,
    Found,
    SearchAnswer,
    SearchRequest,
    SearchResult,
)
from orchestrator.ports import Clock, ProviderTiming
from orchestrator.providers.local_database import refuse_foreign
from orchestrator.providers.local_files import is_within, resolve
from orchestrator.providers.local_index import Hit, LocalIndex
from orchestrator.providers.local_query import Query, parse, snippet
from orchestrator.providers.local_scan import IndexReport, Progress, scan
from orchestrator.providers.local_thread import IndexThread

NAME = "local"
"""The registered name."""

TIMING = ProviderTiming(search_s=2.0, search_advanced_s=2.0, search_reserve_s=0.3)
"""The first search may have to index; every later one takes milliseconds."""

REFRESH_S = 30.0
"""chosen: a page just saved is found within half a minute; to look at 1,000 unchanged files takes 10 ms."""

# What documents on disk cannot answer. Times are among it: the time a file was last changed says when it was
# copied here, not when its text was written, and filtering by it would hide a whole folder after a
# deployment.
_UNSUPPORTED = (
    "chunks_per_source",
    "time_range",
    "start_date",
    "end_date",
    "days",
    "include_answer",
    "include_images",
    "include_image_descriptions",
    "include_favicon",
    "country",
    "language",
    "filter_by_language",
    "include_published_date",
    "filter_by_published_date",
    "auto_parameters",
    "safe_search",
)


class Local:
    """Folders and single files as a provider; it must be used from one event loop.

    The folders are looked at again, in the background, when a search comes `refresh_s` seconds or more after
    the last look; only a search that finds no finished index waits for one. `clock` tells that time.
    Documents have no host, so a search restricted to domains finds none.

    Raises SettingsError if a path does not exist or is neither folder nor document, or if `index_path` is
    somebody else's database.
    """

    name = NAME
    operations = frozenset({"search"})
    schemes = frozenset({"file"})
    timing = TIMING

    def __init__(
        self, paths: Sequence[Path | str], index_path: Path | str, clock: Clock, refresh_s: float = REFRESH_S
    ) -> None:
        self._roots = resolve(paths)
        self._clock = clock
        self._refresh_s = refresh_s
        index_path = Path(index_path).absolute()
        refuse_foreign(index_path)
        # Two connections, so that a search does not queue behind a pass over the folders.
        self._reader = IndexThread(index_path, "local-search")
        self._writer = IndexThread(index_path, "local-index")
        self._is_closing = Event()
        self._refresh: asyncio.Task[IndexReport] | None = None
        self._refresh_begun = float("-inf")

    def search_estimate(self, request: SearchRequest) -> Cost:
        """Nobody bills it."""
        return FREE

    def extract_estimate(self, request: ExtractRequest) -> Cost:
        """Nobody bills it."""
        return FREE

    async def search(self, call: Call[SearchRequest]) -> Found[SearchAnswer]:
        """Search the passages. A query without words finds nothing.

        Raises ProviderUnavailable if the index cannot be used. Cancelling does not stop an indexing under
        way.
        """
        request = call.request
        query = parse(request.query, is_exact=bool(request.exact_match))
        hits: list[Hit] = []
        if query is not None and request.limit and not request.include_domains:
            hits = await self._find(query, request)
        answer = SearchAnswer(results=tuple(map(_result, hits)), answer=None, images=())
        return Found(answer=answer, provider=NAME, cost=FREE, unsupported=_unsupported(request))

    async def extract(self, call: Call[ExtractRequest]) -> Found[ExtractAnswer]:
        """Not offered (see `operations`): raises ProviderRejected; a file is nothing a caller may name."""
        raise ProviderRejected("local does not extract", provider=NAME, reason="not_offered")

    async def index(self, progress: Progress | None = None) -> IndexReport:
        """Bring the index up to date now and tell what was done; `progress` is called on the event loop.

        May take seconds per thousand documents. Raises ProviderUnavailable if the index cannot be written.
        Cancelling stops it after the current file; what is done stays done.
        """
        loop = asyncio.get_running_loop()
        is_cancelled = Event()

        def tell(done: int, total: int, path: str) -> None:
            if progress is not None and not is_cancelled.is_set():
                loop.call_soon_threadsafe(progress, done, total, path)

        def work(index: LocalIndex) -> IndexReport:
            return scan(index, self._roots, self._clock.now, is_stopped=is_stopped, progress=tell)

        def is_stopped() -> bool:
            return is_cancelled.is_set() or self._is_closing.is_set()

        try:
            return await self._writer.run(work)
        finally:
            is_cancelled.set()

    async def aclose(self) -> None:
        """Stop indexing after the current file and close the index. Safe to call twice."""
        self._is_closing.set()
        if self._refresh is not None:
            await asyncio.gather(self._refresh, return_exceptions=True)
        await self._reader.aclose()
        await self._writer.aclose()

    async def _find(self, query: Query, request: SearchRequest) -> list[Hit]:
        def look(index: LocalIndex) -> tuple[float | None, list[Hit]]:
            scanned_at = index.scanned_at(self._roots)
            if scanned_at is None:
                return None, []
            return scanned_at, index.search(
                query, request.limit, with_documents=bool(request.include_raw_content)
            )

        scanned_at, hits = await self._reader.run(look)
        if scanned_at is None:
            # Shielded: others may wait for the same pass, and without its end there is nothing to search.
            await asyncio.shield(self._refreshed())
            scanned_at, hits = await self._reader.run(look)
        elif not 0 <= self._clock.now() - scanned_at < self._refresh_s:
            self._refresh_in_background()
        # The index may still hold documents of folders another process was given.
        return [hit for hit in hits if is_within(hit.path, self._roots)]

    def _refreshed(self) -> asyncio.Task[IndexReport]:
        """The pass under way, or a new one."""
        if self._refresh is None or self._refresh.done():
            self._refresh_begun = self._clock.monotonic()
            self._refresh = asyncio.create_task(self.index(), name="local-refresh")
            self._refresh.add_done_callback(_retrieve)
        return self._refresh

    def _refresh_in_background(self) -> None:
        # Also after a pass that failed: the disk is not asked again with every search.
        if self._clock.monotonic() - self._refresh_begun >= self._refresh_s:
            self._refreshed()


def _retrieve(task: asyncio.Task[IndexReport]) -> None:
    """Take note of how a pass ended, so that asyncio does not complain; the next search tries again."""
    if not task.cancelled() and not isinstance(error := task.exception(), ProviderError | None):
        raise error


def _result(hit: Hit) -> SearchResult:
    url = Path(hit.path).as_uri() + (f"#{quote(hit.anchor)}" if hit.anchor else "")
    return SearchResult(
        title=hit.title,
        url=url,
        content=snippet(hit.marked),
        score=round(hit.score, 6),
        raw_content=hit.document,
    )


def _unsupported(request: SearchRequest) -> tuple[str, ...]:
    """The fields that were given a meaning the documents cannot have."""
    named = [name for name in _UNSUPPORTED if getattr(request, name) not in {None, False}]
    if request.depth != "basic":
        named.append("search_depth")
    if request.category != "general":
        named.append("topic")
    return tuple(sorted([*named, *request.extra]))
