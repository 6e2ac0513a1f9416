"""Jina's error table and the envelope of every error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ERRORS: dict[int, tuple[int, str, str]] = {
    40001: (400, "ParamValidationError", "Invalid parameter"),
    40102: (401, "AuthenticationFailedError", "Invalid API key, please get a new one from https://jina.ai"),
    40103: (
        401,
        "AuthenticationRequiredError",
        (
            "Authentication is required to use this endpoint. "
            "Please provide a valid API key via Authorization header."
        ),
    ),
    40201: (402, "InsufficientCreditsError", "Insufficient credits"),
    40202: (402, "TierFeatureConstraintError", "Feature not in plan"),
    40203: (
        402,
        "InsufficientBalanceError",
        "Account balance not enough to run this query, please recharge.",
    ),
    40301: (403, "OperationNotAllowedError", "please retry after 2026-11-23T00:00:00.000Z"),
    40304: (403, "AccountSuspendedError", "Account suspended"),
    40902: (409, "ResourcePolicyDenyError", "Access is disallowed by site robots.txt"),
    40904: (409, "BudgetExceededError", "Token budget (500) exceeded, intended charge amount 812"),
    41302: (413, "TargetFileTooLargeError", "Target file is too large"),
    42203: (422, "SubmittedDataMalformedError", "Domain could not be resolved"),
    42205: (422, "DownstreamServiceFailureError", "Search(web) failed"),
    42206: (422, "AssertionFailureError", "No search results available for query"),
    42901: (429, "TooManyRequestsError", "Too many requests"),
    42902: (429, "TooManyTriesError", "Too many tries"),
    42903: (429, "RateLimitTriggeredError", "Per UID rate limit exceeded."),
    45102: (451, "SecurityCompromiseError", "Suspicious action: Request to localhost or non-public IP"),
    50000: (500, "ApplicationError", "Internal error"),
    50301: (503, "ServiceDisabledError", "Service disabled"),
    50302: (503, "ServiceCrashedError", "Service crashed"),
    50303: (503, "ServiceNodeResourceDrainError", "Service node resource drained"),
    50304: (503, "ServiceBadAttemptError", "Bad attempt"),
    50305: (503, "ServiceBadApproachError", "Bad approach"),
}
"""Every row of the contract's error table: five-digit status to HTTP status, name and message."""

USUAL = {
    400: 40001,
    401: 40102,
    402: 40203,
    403: 40301,
    409: 40902,
    413: 41302,
    422: 42206,
    429: 42903,
    451: 45102,
    500: 50000,
    503: 50301,
}
"""The five-digit status of an HTTP status when a fault does not name one."""


def envelope(status: int, name: str, number: int, message: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON body of every error; `extra` are the keys of its class."""
    return {
        "data": None,
        **extra,
        "code": status,
        "name": name,
        "status": number,
        "message": message,
        "readableMessage": f"{name}: {message}",
    }
