"""What is asked and what is answered: the values that travel through the pipeline, all frozen.

`None` in an optional field of a request means "not given": providers are sent only what was given, while
the properties (`limit`, `depth`, …) say what is in force. Moments are seconds since 1970 UTC as `float`
(`_at`) or monotonic seconds (`deadline`); durations are seconds (`_s`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import msgspec

from orchestrator import limits
from orchestrator.events import FREE, Cost, Envelope, Event
from orchestrator.principals import Principal
from orchestrator.quota import Verdict
from orchestrator.relays import RelayAnswer

# --- what is asked


TOPICS = ("general", "news", "finance")
"""The values of `topic`."""

DEPTHS = ("basic", "advanced", "fast", "ultra-fast")
"""The values of `search_depth`; an extract knows the first two."""

TIME_RANGES = ("day", "week", "month", "year", "d", "w", "m", "y")
"""The values of `time_range`."""

ANSWERS = (True, False, "basic", "advanced")
"""The values of `include_answer`."""

RAW_CONTENTS = (True, False, "markdown", "text")
"""The values of `include_raw_content`."""

DOMAINS_MODES = ("restrict", "prefer", "filter", "boost")
"""The values of `include_domains_mode`."""

FORMATS = ("markdown", "text")
"""The values of an extract's `format`."""


class SearchRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A web search, in Tavily's vocabulary. `extra` holds fields we do not know, passed on as they are."""

    operation: ClassVar[str] = "search"

    query: str
    search_depth: str | None = None
    topic: str | None = None
    max_results: int | None = None
    chunks_per_source: int | None = None
    time_range: str | None = None
    start_date: str | None = None
    end_date: str | None = None
    days: int | None = None
    include_answer: bool | str | None = None
    include_raw_content: bool | str | None = None
    include_images: bool | None = None
    include_image_descriptions: bool | None = None
    include_favicon: bool | None = None
    include_domains: tuple[str, ...] = ()
    exclude_domains: tuple[str, ...] = ()
    include_domains_mode: str | None = None
    country: str | None = None
    language: str | None = None
    filter_by_language: bool | None = None
    include_published_date: bool | None = None
    filter_by_published_date: bool | None = None
    auto_parameters: bool | None = None
    exact_match: bool | None = None
    safe_search: bool | None = None
    extra: dict[str, Any] = {}

    @property
    def limit(self) -> int:
        """How many results the caller gets at most, 0 to `limits.RESULTS_MAX`."""
        wanted = limits.RESULTS_DEFAULT if self.max_results is None else self.max_results
        return max(0, min(wanted, limits.RESULTS_MAX))

    @property
    def depth(self) -> str:
        """The search depth in force."""
        return self.search_depth or "basic"

    @property
    def category(self) -> str:
        """The topic in force: `general`, `news` or `finance`."""
        return self.topic or "general"


class ExtractRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The readable text of up to `limits.URLS_MAX` pages. `timeout_s` is the caller's own patience."""

    operation: ClassVar[str] = "extract"

    urls: tuple[str, ...]
    query: str | None = None
    chunks_per_source: int | None = None
    extract_depth: str | None = None
    format: str | None = None
    include_images: bool | None = None
    include_favicon: bool | None = None
    timeout_s: float | None = None
    extra: dict[str, Any] = {}

    @property
    def depth(self) -> str:
        """The extract depth in force."""
        return self.extract_depth or "basic"

    @property
    def category(self) -> str:
        """Extracts have no topic; `""` keeps folds uniform."""
        return ""


class CacheControl(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller wants of the cache (RFC 9111 request directives). `max_age_s` `None` means any age.

    `stale_if_error_s` (RFC 5861) is how far past its freshness an answer may be if no fresh one can be had;
    `None` leaves it to the policy, 0 wants none.
    """

    no_cache: bool = False
    no_store: bool = False
    only_if_cached: bool = False
    max_age_s: float | None = None
    stale_if_error_s: float | None = None

    def accepts(self, age_s: float) -> bool:
        """Whether an answer of this age will do that another call was given; 0 is one just fetched."""
        age_s_max = 0.0 if self.no_cache or self.no_store else self.max_age_s
        return age_s_max is None or age_s <= age_s_max


DEFAULT_CACHE_CONTROL = CacheControl()
"""Use the cache as the policy says."""


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who knocks at which door, as far as the door itself can tell.

    `is_local_operator` is the door's finding that nobody but the person at this machine can have sent the
    call (loopback bind, loopback Host, no proxy headers, no foreign Origin); `refusal` is why not, `""` if it
    is. It counts only while no API key exists. `is_in_process` is another finding: the call was made by a
    program that runs on the data folder itself (the command line without `--url`), whose user owns all of it.
    `credential` is what was shown, `None` if nothing; `key_id` is that of the API key whose holder the door
    knows by a session, `""` without one. `address` is the client's own, `""` where the door cannot know it.
    Neither credential nor address is ever recorded. `via` are the installations the call has come through
    (via.py), none for most. `method` and `target` are what was called (see RequestReceived).
    """

    door: str
    method: str = ""
    target: str = ""
    dialect: str = ""
    is_local_operator: bool = False
    is_in_process: bool = False
    refusal: str = ""
    address: str = ""
    credential: str | None = None
    key_id: str = ""
    trace_id: str = ""
    parent_span_id: str = ""
    via: tuple[str, ...] = ()
    cache_control: CacheControl = DEFAULT_CACHE_CONTROL


# --- what a provider gives


class SearchResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One hit.

    `score` is 0..1 and falls from hit to hit; it cannot be compared between queries or providers.
    """

    title: str
    url: str
    content: str
    score: float
    raw_content: str | None
    published_date: str | None = None
    favicon: str | None = None
    id: str | None = None
    images: tuple[Any, ...] | None = None


class SearchAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a provider found, best first; `results` may be empty, which is a success.

    `images` are URL strings, or `{"url", "description"}` objects if descriptions were asked for.
    """

    results: tuple[SearchResult, ...]
    answer: str | None
    images: tuple[Any, ...]
    auto_parameters: dict[str, Any] | None = None

    @property
    def count(self) -> int:
        """How many results there are."""
        return len(self.results)


class Page(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The text of one page, as Markdown or plain text."""

    url: str
    raw_content: str
    title: str | None = None
    images: tuple[str, ...] = ()
    favicon: str | None = None

    @property
    def count(self) -> int:
        """A page is one."""
        return 1


class PageFailure(msgspec.Struct, frozen=True, kw_only=True):
    """A page nobody could read, and why, in words for the caller."""

    url: str
    error: str


class ExtractAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider read; `pages` and `failures` together cover the URLs it was asked for."""

    pages: tuple[Page, ...]
    failures: tuple[PageFailure, ...] = ()

    @property
    def count(self) -> int:
        """How many pages were read."""
        return len(self.pages)


AnswerT = TypeVar("AnswerT", bound=SearchAnswer | ExtractAnswer | Page | RelayAnswer)
RequestT = TypeVar("RequestT")


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One line of "why this answer": a call to a provider, or its omission (`outcome` `skipped`)."""

    provider: str
    outcome: str
    reason: str
    duration_s: float


class Found(msgspec.Struct, Generic[AnswerT], frozen=True, kw_only=True):
    """A provider's answer with what it cost and what of the request it could not honour.

    `assumed` is what it will cost as far as that can be told before the bill comes. `attempts` is filled by
    the fallback: everything tried for it, in order. `is_degraded` marks the floor of the chain answering in
    place of the web.
    """

    answer: AnswerT
    provider: str
    cost: Cost = FREE
    assumed: Cost = FREE
    unsupported: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    is_fallback: bool = False
    is_degraded: bool = False


# --- what leaves the gateway


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """An answer on its way out: an encoded fragment, and how it came about.

    `fragment` is the inside of a JSON object: for a search the members `results`, `answer`, `images`; for an
    extract `results`, `failed_results`; for one page, or what was passed on, its own members. It is encoded
    once, cached, and never decoded on the way to a Tavily client. `cost` is what *this* call spent (a hit
    spends nothing), `cache` is `l1`, `l2`, `collapsed`, `miss`, `mixed` or `relayed`. `notes` are sentences
    about values that were clamped, wishes that were passed over, and why an answer is old. `is_pending`: what
    was asked for is still made (relays.py).
    """

    fragment: bytes
    result_count: int
    provider: str
    cache: str = "miss"
    age_s: float = 0.0
    ttl_s: float = 0.0
    is_stale: bool = False
    is_degraded: bool = False
    is_fallback: bool = False
    is_pending: bool = False
    cost: Cost = FREE
    attempts: tuple[Attempt, ...] = ()
    unsupported: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def encode_fragment(answer: SearchAnswer | Page) -> bytes:
    """The inside of the JSON object of an answer, to be wrapped in an envelope of any dialect."""
    return msgspec.json.encode(answer)[1:-1]


# --- the call itself


class Trail(Protocol):
    """The facts of one execution, in order. One per call; not for use by several executions."""

    @property
    def execution_id(self) -> str:
        """Our own UUIDv7, in its canonical form with hyphens."""

    @property
    def trace_id(self) -> str:
        """32 hex digits: the caller's trace if it sent one, else the execution id."""

    @property
    def events(self) -> Sequence[Envelope]:
        """Everything recorded so far, written or not."""

    verdict: Verdict | None
    """What the limiter said, for the door to repeat; `None` if the caller is not limited."""

    def record(self, event: Event) -> None:
        """Note a fact now. It is written with the next `commit`."""

    def note_text(self, key: str, text: str, request: str = "") -> None:
        """Keep the query text behind a cache key for the erasable table; nothing happens if that is off.

        `request` is what else was asked, as `asked.options_of` writes it; `""` keeps nothing of that.
        """

    async def commit(self) -> None:
        """Write what is pending as one frame and wait until it is durable.

        Raises EventLogUnavailable; the pending facts are then lost and the call must be refused.
        """

    def commit_soon(self) -> None:
        """Write what is pending as one frame without waiting: for when nobody is left to tell."""


class Call(msgspec.Struct, Generic[RequestT], frozen=True, kw_only=True):
    """One request on its way through the stack; stages pass on changed copies, never the same one changed.

    `deadline` is a moment of the monotonic clock. `is_hurried` says that the caller's own patience made it
    earlier than the operator's policy would have. `is_refresh` says that nobody waits: its caller
    was given an old answer, or there is none. `is_last_resort` lets it pass open circuits: whoever could have
    stood in has failed (last_resort.py). `cache_key` is set by the cache stage, `span_id` (16 hex digits) by
    that of the attempt; both are `""` before it.
    """

    request: RequestT
    caller: Caller
    trail: Trail
    deadline: float
    is_hurried: bool = False
    is_refresh: bool = False
    is_last_resort: bool = False
    principal: Principal | None = None
    cache_key: str = ""
    span_id: str = ""
