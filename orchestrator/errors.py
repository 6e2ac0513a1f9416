"""Every failure the gateway can name, as one tree.

    GatewayError(message)
    ├ CallerError     InvalidRequest(field) · Unauthenticated(reason) → RefusedTooOften ·
    │                 PermissionDenied(scopes) · RateLimited(windows) → AnonymousLimited ·
    │                 BudgetExhausted · CannotWarm · LoopDetected · NotOffered · UrlRefused ·
    │                 TaskNotFound · ProviderConflict
    ├ ProviderError   ProviderTimeout · ProviderUnavailable → ProviderThrottled ·
    │                 ProviderRejected → ProviderQuotaExceeded · ProviderProtocolError ·
    │                 ResultInvalid · CircuitOpen · ProviderHeldBack
    ├ SearchFailed    AllProvidersFailed → QuotaExhausted · DeadlineExceeded · PageUnreadable ·
    │                 NotInCache · NotFound → KeyNotFound · ProviderNotFound
    ├ StorageError    EventLogUnavailable → ReportsBehind · CacheUnavailable · RateLimitStoreUnavailable ·
    │                 KeysUnavailable · FlightStoreUnavailable · CircuitBoardUnavailable ·
    │                 BudgetStoreUnavailable
    ├ Overloaded      there is no room for the call right now
    └ SettingsError   only at start

An error says nothing about HTTP or MCP: each surface holds one table from class to status. A message is
written for the person who reads it and never holds a secret, a query text or an upstream's body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from orchestrator.events import FREE, Cost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.model import Attempt


class GatewayError(Exception):
    """The root: catch this to catch everything the gateway raises on purpose.

    `code` is the stable, low-cardinality name of the failure in events, reports and answers.
    `retry_after_s` is how long a caller should wait, in seconds; `None` when nobody knows.
    """

    code: ClassVar[str] = "gateway_error"

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s


class CallerError(GatewayError):
    """The caller must change something before the same call can succeed."""

    code = "caller_error"


class InvalidRequest(CallerError):
    """The request breaks a documented rule; `field` names the offending part, `""` when it is the whole."""

    code = "invalid_request"

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class Unauthenticated(CallerError):
    """Nobody we know is asking; `reason` is a short code for the aggregated refusal event."""

    code = "unauthenticated"

    def __init__(self, message: str, *, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.reason = reason


class RefusedTooOften(Unauthenticated):
    """Nobody we know is asking again and again; `retry_after_s` says how long to leave off."""

    code = "refused_too_often"


class PermissionDenied(CallerError):
    """The caller is known and lacks a scope the call needs; `scopes` are all it needs."""

    code = "permission_denied"

    def __init__(self, message: str, *, scopes: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.scopes = tuple(scopes)


class RateLimited(CallerError):
    """The caller used up one of their windows; `retry_after_s` says when the next call fits.

    `windows` are the names of those used up.
    """

    code = "rate_limited"

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, windows: Sequence[str] = ()
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.windows = tuple(windows)


class AnonymousLimited(RateLimited):
    """A caller without a key used up one of the windows of its address."""

    reason = "anonymous_limit"


class BudgetExhausted(CallerError):
    """The caller's own budget is spent; `retry_after_s` is the time until its period ends."""

    code = "budget_exhausted"


class CannotWarm(CallerError):
    """The cache is not warmed: it is being warmed already, or there is nothing to warm it by."""

    code = "cannot_warm"


class ProviderConflict(CallerError):
    """What is wanted of the list of providers does not go with what is there; the message says what does."""

    code = "provider_conflict"


class LoopDetected(CallerError):
    """The call leads back to the gateway it came from, or has come through too many."""

    code = "loop_detected"


class NotOffered(CallerError):
    """It is understood and not done here: nobody it could be passed on to is configured, or it cannot be."""

    code = "not_offered"


class UrlRefused(CallerError):
    """The provider does not work on this URL."""

    code = "url_refused"


class TaskNotFound(CallerError):
    """There is no such task, or it is somebody else's."""

    code = "task_not_found"


class ProviderError(GatewayError):
    """One call to one provider failed.

    `provider` is its registered name, `reason` a short code such as `http_500`, `reset` or `bad_json`. `cost`
    is what the provider said it billed all the same. `assumed` is what it may have billed on top without
    saying so: `FREE` if nothing (it refused, or was never reached), `None` if nobody knows, which is then
    taken to be the estimate of the call. `is_of_request` says that it came of how much was asked for, and so
    says nothing about the provider.
    """

    code = "provider_error"
    is_of_request = False

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        reason: str,
        retry_after_s: float | None = None,
        cost: Cost = FREE,
        assumed: Cost | None = None,
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.provider = provider
        self.reason = reason
        self.cost = cost
        self.assumed = assumed


class ProviderTimeout(ProviderError):
    """The provider gave no whole answer within the time of one attempt."""

    code = "provider_timeout"


class ProviderUnavailable(ProviderError):
    """The provider could not be reached, cut the connection or answered with its own fault (5xx)."""

    code = "provider_unavailable"


class ProviderThrottled(ProviderUnavailable):
    """The provider asks us to slow down (429); `retry_after_s` is its own figure, `None` if it gave none."""

    code = "provider_throttled"


class ProviderRejected(ProviderError):
    """The provider understood us and refuses: our key, our plan or the request itself (see `reason`)."""

    code = "provider_rejected"


class ProviderQuotaExceeded(ProviderRejected):
    """Our plan or balance at the provider is used up (Tavily 432 and 433, Jina 402)."""

    code = "provider_quota_exceeded"


class ProviderProtocolError(ProviderError):
    """The answer is not what the provider's contract promises: not JSON, the wrong shape, too large."""

    code = "provider_protocol_error"


class ResultInvalid(ProviderError):
    """The answer has the right shape and is of no use to the caller."""

    code = "result_invalid"


class CircuitOpen(ProviderError):
    """The provider's circuit is open: it was not called; `retry_after_s` is the rest of the cooldown.

    `is_quota`: it was opened because our plan or balance there is used up.
    """

    code = "circuit_open"

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        reason: str,
        retry_after_s: float | None = None,
        is_quota: bool = False,
    ) -> None:
        super().__init__(message, provider=provider, reason=reason, retry_after_s=retry_after_s)
        self.is_quota = is_quota


class ProviderHeldBack(ProviderError):
    """We keep from calling the provider: its budget is spent, or it was called often enough.

    `reason` says which: `budget`, `calls_per_minute`, or `busy` if as many calls are under way as may be.
    `retry_after_s` is when a call fits again, `None` if that may be at any moment.
    """

    code = "provider_held_back"


class SearchFailed(GatewayError):
    """The gateway did what it could and has no answer."""

    code = "search_failed"


class AllProvidersFailed(SearchFailed):
    """Every provider of the chain failed or was skipped; `attempts` tells each reason in order."""

    code = "all_providers_failed"

    def __init__(
        self, message: str, *, attempts: Sequence[Attempt], retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.attempts = tuple(attempts)


class QuotaExhausted(AllProvidersFailed):
    """Every provider of the chain refused because our quota there is used up."""

    code = "quota_exhausted"


class DeadlineExceeded(SearchFailed):
    """The total time of the call ran out."""

    code = "deadline_exceeded"


class PageUnreadable(SearchFailed):
    """No provider could read this one page; the others of the extract are unharmed."""

    code = "page_unreadable"


class NotInCache(SearchFailed):
    """The caller asked for a cached answer only (`only-if-cached`) and there is none."""

    code = "not_in_cache"


class NotFound(SearchFailed):
    """The execution asked for is not (or not yet) in the event log."""

    code = "not_found"


class KeyNotFound(NotFound):
    """There is no API key with the id that was given."""


class ProviderNotFound(NotFound):
    """There is no provider of the name that was given."""


class StorageError(GatewayError):
    """A store the gateway depends on did not do its work."""

    code = "storage_error"


class EventLogUnavailable(StorageError):
    """The facts of a call could not be made durable, so the call is refused."""

    code = "event_log_unavailable"


class ReportsBehind(EventLogUnavailable):
    """What was recorded lately is not counted yet, so the figures are no picture of the present."""

    code = "reports_behind"


class CacheUnavailable(StorageError):
    """A cache tier is out of reach; the cache filter records a miss and goes on."""

    code = "cache_unavailable"


class RateLimitStoreUnavailable(StorageError):
    """The shared limiter is out of reach; the policy decides whether that opens or closes the door."""

    code = "rate_limit_store_unavailable"


class KeysUnavailable(StorageError):
    """The API keys could not be read since the start, so nobody's key can be checked."""

    code = "keys_unavailable"
    reason = "keys_unavailable"


class FlightStoreUnavailable(StorageError):
    """What other processes are fetching cannot be seen; every call then goes alone."""

    code = "flight_store_unavailable"


class CircuitBoardUnavailable(StorageError):
    """The circuits of other processes cannot be seen; each process then keeps its own."""

    code = "circuit_board_unavailable"


class BudgetStoreUnavailable(StorageError):
    """What was spent cannot be counted; the budget filter says what follows."""

    code = "budget_store_unavailable"


class Overloaded(GatewayError):
    """So many calls are under way that one more would only slow down all of them."""

    code = "overloaded"
    reason = "overloaded"


UNRECORDED = (Unauthenticated, AnonymousLimited, KeysUnavailable, Overloaded)
"""Refusals that cost next to nothing and leave no execution behind: they are counted by their `reason`."""


class SettingsError(GatewayError):
    """The configuration cannot be used; the message lists every fault at once. Raised only at start."""

    code = "settings_error"
