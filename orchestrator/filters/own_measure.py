"""Whoever asks for too much keeps nobody else from asking: that is not held against the provider.

A crawl is of as many pages as its caller wants, and of a site that may hang; the pages of an extract are as
large as they are; a stream goes on as slowly as it is read. What fails for that says nothing about the
provider, whose circuit is that of everybody's searches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic

from orchestrator.errors import ProviderError
from orchestrator.model import AnswerT, Call, ExtractRequest, Found, RequestT
from orchestrator.relays import OF_PAGES, RelayRequest
from orchestrator.service import Service

TOO_LARGE = frozenset({"too_large"})

TOO_LARGE_OR_LONG = TOO_LARGE | {"timeout"}

NOTHING: frozenset[str] = frozenset()


class OwnMeasureFilter(Generic[RequestT, AnswerT]):
    """Marks failures for one of the reasons that `too_much` gives for a request."""

    def __init__(self, too_much: Callable[[RequestT], frozenset[str]]) -> None:
        self._too_much = too_much

    async def __call__(
        self, call: Call[RequestT], service: Service[RequestT, Found[AnswerT]]
    ) -> Found[AnswerT]:
        """Answer as the provider does."""
        try:
            return await service(call)
        except ProviderError as error:
            error.is_of_request = error.reason in self._too_much(call.request)
            raise


def too_much_read(_request: ExtractRequest) -> frozenset[str]:
    """Pages are as large as they are; how long they take is the provider's part."""
    return TOO_LARGE


def too_much_passed_on(request: RelayRequest) -> frozenset[str]:
    """A map, a crawl and a stream are as large and as long as their caller wants."""
    return TOO_LARGE_OR_LONG if request.operation in OF_PAGES or request.is_streamed else NOTHING
