"""The Python client of AMOS, the self-hosted search gateway.

    from amos_sdk import AsyncClient

    async with AsyncClient("https://amos.example.org", api_key=key) as amos:
        answer = await amos.search("tide tables", max_results=3)

It needs httpx and nothing of the server.
"""

from amos_sdk.async_client import AsyncClient
from amos_sdk.client import NO_RETRIES, Client
from amos_sdk.errors import (
    AmosError,
    BudgetExhausted,
    Conflict,
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    RateLimited,
    Refused,
    TimedOut,
    Unauthenticated,
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
)
from amos_sdk.exchange import RetryPolicy
from amos_sdk.models import Attempt, ExtractAnswer, FailedPage, Page, SearchAnswer, SearchResult, Why
from amos_sdk.record import Account, Event, Execution, Executions, Report, Usage

__all__ = [
    "NO_RETRIES",
    "Account",
    "AmosError",
    "AsyncClient",
    "Attempt",
    "BudgetExhausted",
    "Client",
    "Conflict",
    "DeadlineExceeded",
    "Event",
    "Execution",
    "Executions",
    "ExtractAnswer",
    "FailedPage",
    "InvalidRequest",
    "NotFound",
    "Page",
    "PermissionDenied",
    "RateLimited",
    "Refused",
    "Report",
    "RetryPolicy",
    "SearchAnswer",
    "SearchResult",
    "TimedOut",
    "Unauthenticated",
    "Unavailable",
    "UnexpectedAnswer",
    "Unreachable",
    "Usage",
    "Why",
]
