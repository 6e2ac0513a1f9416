"""Jina's errors: HTTP status plus five-digit status give one verdict, never the text.

Three things can be meant. The provider as a whole will not serve us (raise); the one page cannot be read
(only at the reader); or nothing was found, which Jina reports as an error and we take as the success it is.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from orchestrator.errors import ProviderError, ProviderRejected, ProviderUnavailable
from orchestrator.events import FREE
from orchestrator.providers.upstream import Reply
from orchestrator.providers.upstream_faults import status_fault

NAME = "jina"
"""The registered name."""

NOTHING_FOUND = (422, 42206)
"""Jina's source: AssertionFailureError; on search "No search results available for query"."""

DOWNSTREAM_FAILED = (422, 42205)
"""Jina's source: DownstreamServiceFailureError; a fault of theirs in spite of the 4xx."""

SUSPENDED = (403, 40304)
"""Jina's source: AccountSuspendedError; the only 403 that is about us and not about a page."""

PAGE_STATUSES = frozenset({400, 403, 404, 409, 413, 422, 451})
"""Statuses by which the reader speaks of one page: a bad or blocked URL, robots.txt, too large."""


class Verdict(Enum):
    """What an answer other than 200 means, beside an error of the provider."""

    EMPTY = "empty"
    """The search found nothing."""
    PAGE = "page"
    """The reader could not read this page; others may do."""


class _Envelope(msgspec.Struct):
    status: int | None = None


def classify_search(reply: Reply) -> Verdict | ProviderError:
    """What a search's status other than 200 means: `Verdict.EMPTY` or an error to raise."""
    if (reply.status, five_digits(reply.body)) == NOTHING_FOUND:
        return Verdict.EMPTY
    return _provider_fault(reply)


def classify_read(reply: Reply) -> Verdict | ProviderError:
    """What a reader's status other than 200 means: `Verdict.PAGE` or an error of the whole provider."""
    key = (reply.status, five_digits(reply.body))
    if reply.status in PAGE_STATUSES and key not in (DOWNSTREAM_FAILED, SUSPENDED):
        return Verdict.PAGE
    return _provider_fault(reply)


def _provider_fault(reply: Reply) -> ProviderError:
    key = (reply.status, five_digits(reply.body))
    if key == DOWNSTREAM_FAILED:
        return ProviderUnavailable(
            f"{NAME} could not reach its own search engine.",
            provider=NAME,
            reason="downstream",
            assumed=FREE,
        )
    if key == SUSPENDED:
        return ProviderRejected(
            f"{NAME} has suspended our account.", provider=NAME, reason="key_refused", assumed=FREE
        )
    return status_fault(reply, NAME)


def five_digits(body: bytes) -> int | None:
    """The `status` of Jina's error envelope; `None` for HTML, a raw exception or whatever comes instead."""
    try:
        return msgspec.json.decode(body, type=_Envelope).status
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
